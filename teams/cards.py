"""Adaptive Cards of tool results: the weather, and calculations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from microsoft_agents.activity import Attachment
from microsoft_teams.cards import AdaptiveCard, Fact, FactSet, TextBlock

CONTENT_TYPE = "application/vnd.microsoft.card.adaptive"
MAX_CARDS = 5


@dataclass(frozen=True, slots=True)
class Card:
    """A card, and its title for where only text is shown."""

    title: str
    attachment: Attachment


def card_of(tool: str, arguments: Mapping[str, Any], result: Any, words: Mapping[str, str]) -> Card | None:
    """Make the card of a tool's result in somebody's words; ``None`` if results of this tool have none."""
    make = CARDS.get(tool)
    return make(arguments, result, words) if make else None


def _weather(_: Mapping[str, Any], result: Any, words: Mapping[str, str]) -> Card:
    place = f"{result['location']}, {result['country']}" if result.get("country") else str(result["location"])
    facts = [
        Fact(title=words["humidity"], value=f"{result['humidity']} %"),
        Fact(title=words["wind"], value=f"{result['wind_speed']:g} {result['wind_unit']}"),
    ]
    if result["source"] == "sample":
        facts.append(Fact(title=words["source"], value=words["sample"]))
    now = f"{result['temperature']:g} {result['unit']}, {result['condition']}"
    return _card(place, [TextBlock(text=now, size="ExtraLarge", wrap=True), FactSet(facts=facts)])


def _calculation(arguments: Mapping[str, Any], result: Any, _: Mapping[str, str]) -> Card:
    expression = str(arguments.get("expression", ""))
    # In Markdown an asterisk would make it italic.
    shown = expression.replace("**", "^").replace("*", "×")
    return _card(shown, [TextBlock(text=f"= {result}", size="ExtraLarge", wrap=True)])


def _card(title: str, body: Sequence[Any]) -> Card:
    card = AdaptiveCard(version="1.5", body=[TextBlock(text=title, weight="Bolder", wrap=True), *body])
    content = card.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Card(title, Attachment(content_type=CONTENT_TYPE, content=content))


CARDS: dict[str, Callable[[Mapping[str, Any], Any, Mapping[str, str]], Card]] = {
    "get_weather": _weather,
    "calculate": _calculation,
}
