"""The tides of a made-up harbour office: the tool of the tests' assistant, with all that a tool can have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from pydantic import Field, JsonValue

from errors import ToolError
from tools.tool import Detail, Offline, Preference, ResultView, tool

Units = Literal["metric", "imperial"]
PLACES = re.compile(r"\b[Tt]ides?\b.*?\b(?:in|at)\s+(?P<places>[A-Z]\w+(?:(?:,| and)\s+[A-Z]\w+)*)")
FOLLOW_UP = re.compile(r"\s*and\s+(?:in|at)\s+(?P<places>[A-Z]\w+)[?.!]*\s*", re.I)
COUNTRIES = {"Seattle": "United States", "Oslo": "Norway", "Tokyo": "Japan", "Lisbon": "Portugal"}
UNITS = Preference(
    parameter="units",
    values={
        "metric": {"en": "From now on tides come in metres.", "de": "Gezeiten kommen ab jetzt in Metern."},
        "imperial": {"en": "From now on tides come in feet.", "de": "Gezeiten kommen ab jetzt in Fuß."},
    },
    help={"en": "**/units imperial** or **/units metric** chooses the units.", "de": "**/units** wählt die Einheiten."},
)


class Tide(TypedDict):
    place: str
    country: str | None
    height: float
    unit: str
    state: str


def listen(text: str, earlier: Sequence[str]) -> Iterator[dict[str, JsonValue]]:
    found = PLACES.search(text)
    if not found and earlier and PLACES.search(earlier[-1]):
        found = FOLLOW_UP.fullmatch(text)
    units: dict[str, JsonValue] = {"units": "metric"} if "metres" in text else {"units": "imperial"} if "feet" in text else {}
    for place in re.split(r",\s+| and\s+", found["places"]) if found else []:
        yield {"place": place, **units}


def say(_: Mapping[str, Any], tide: Any) -> str:
    return f"In {tide['place']} the tide is {tide['state']} at {tide['height']:g} {tide['unit']}."


@tool(
    title={"en": "Tide", "de": "Gezeiten", "es": "Marea", "fr": "Marée"},
    icon="tide",
    progress={
        "en": "Looking up the tide in {place}…",
        "de": "Ich schlage die Gezeiten in {place} nach …",
        "es": "Consultando la marea en {place}…",
        "fr": "Consultation de la marée à {place}…",
    },
    subject="{place}",
    result=ResultView(
        kind="figure",
        headline="{height} {unit}",
        caption=["{place}", "{country}"],
        details=[Detail(label={"en": "Now", "de": "Jetzt", "es": "Ahora", "fr": "Maintenant"}, value="{state}")],
        icon_by="state",
        icons={"ris|high": "tide"},
    ),
    offline=Offline(skill="look up tides", listen=listen, say=say),
    preferences=(UNITS,),
)
async def get_tide(
    place: Annotated[str, Field(description="A harbour's town, such as Seattle")],
    units: Annotated[Units, Field(description="metric: metres; imperial: feet")] = "metric",
) -> Tide:
    """Look up the tide of a harbour now. Use this for any question about tides."""
    if not any(character.isalpha() for character in place):
        raise ToolError("name a town")
    height, unit = (2.4, "m") if units == "metric" else (7.9, "ft")
    return Tide(place=place, country=COUNTRIES.get(place), height=height, unit=unit, state="rising")
