"""Adaptive Cards of tool results, made of what the tools say about their results (tools/tool.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from microsoft_agents.activity import Attachment
from microsoft_teams.cards import AdaptiveCard, Fact, FactSet, TextBlock

from tools.tool import ToolView, fill, text_in

CONTENT_TYPE = "application/vnd.microsoft.card.adaptive"
MAX_CARDS = 5


@dataclass(frozen=True, slots=True)
class Card:
    """A card, and its title for where only text is shown."""

    title: str
    attachment: Attachment


def card_of(view: ToolView | None, arguments: Mapping[str, Any], result: Any, language: str) -> Card | None:
    """Make the card of a tool's result in somebody's language; ``None`` if results of this tool have none."""
    shown = view.result if view else None
    if view is None or shown is None or shown.kind == "sources":
        return None
    headline = fill(shown.headline, arguments, result)
    if headline is None:
        return None
    parts = [fill(template, arguments, result) for template in shown.caption]
    caption = ", ".join(part for part in parts if part) or text_in(view.title, language) or view.name
    if shown.kind == "equation":
        # In Markdown an asterisk would make it italic.
        return _card(caption.replace("**", "^").replace("*", "×"), f"= {headline}", [])
    details = [(text_in(detail.label, language), fill(detail.value, arguments, result)) for detail in shown.details]
    return _card(caption, headline, [Fact(title=label, value=value) for label, value in details if label and value])


def _card(title: str, headline: str, facts: Sequence[Fact]) -> Card:
    body: list[Any] = [
        TextBlock(text=title, weight="Bolder", wrap=True),
        TextBlock(text=headline, size="ExtraLarge", wrap=True),
    ]
    if facts:
        body.append(FactSet(facts=list(facts)))
    card = AdaptiveCard(version="1.5", body=body)
    content = card.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Card(title, Attachment(content_type=CONTENT_TYPE, content=content))
