"""A tool as somebody would write their first one: all that is known of it stands in its own file."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

from pydantic import Field

from tools.environment import ToolEnvironment
from tools.tool import Detail, Offline, Preference, ResultView, tool


class Parcel(TypedDict):
    number: str
    place: str
    days: float
    carrier: str | None


@tool(
    title={"en": "Parcel", "de": "Paket"},
    icon="book",
    progress={"en": "Looking for parcel {number}…", "de": "Ich suche Paket {number} …"},
    subject="{number}",
    result=ResultView(
        kind="figure",
        headline="{days} days",
        caption=["{place}", "{carrier}"],
        details=[Detail(label={"en": "Number", "de": "Nummer"}, value="{number}")],
    ),
    offline=Offline(
        skill="track parcels",
        listen=lambda text, _: [{"number": number} for number in re.findall(r"\bP\d+\b", text)],
        say=lambda arguments, result: f"{arguments['number']} is in {result['place']}.",
    ),
    preferences=(Preference(parameter="detail", values={"short": {"en": "In short."}}, help={"en": "**/detail short**."}),),
)
async def track_parcel(
    number: Annotated[str, Field(description="The parcel's number")],
    detail: Annotated[str, Field(description="How much to tell")] = "long",
) -> Parcel:
    """Find out where a parcel is."""
    return Parcel(number=number, place=f"Oslo ({detail})", days=2.0, carrier=None)


@asynccontextmanager
async def open_parcels(_: ToolEnvironment) -> AsyncIterator[list[Callable[..., Any]]]:
    """Be the only tool that there is."""
    yield [track_parcel]
