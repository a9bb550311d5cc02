"""Places in the sentences of people who ask the offline model for the weather."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

WEATHER = re.compile(r"\b(weather|temperature|forecast|rain\w*|snow\w*|sunny|wind\w*|umbrella|degrees)\b", re.I)
PLACE = re.compile(r"\b(?:in|at|for)\s+(?P<places>[^?!.;\d]+)", re.I)
PLACE_BEFORE = re.compile(r"\b(?P<places>[A-Z][\w'-]+(?: [A-Z][\w'-]+)*)(?:'s)? (?:weather|temperature|forecast)\b")
FOLLOW_UP = re.compile(r"^\s*(?:and|what about|how about)\s+(?:in\s+)?(?P<places>[^\s?!.\d][^?!.\d]*)[?!.]*\s*$", re.I)
NO_PLACE = re.compile(
    r"\b(?:in|what|how|is|are|tell|calculate|convert|please|today|tomorrow|now|right|this|celsius|fahrenheit)\b.*", re.I
)
IMPERIAL = re.compile(r"fahrenheit|°\s*F\b|imperial", re.I)
METRIC = re.compile(r"celsius|°\s*C\b|metric", re.I)


def find_questions(text: str, earlier: Sequence[str]) -> Iterator[dict[str, JsonValue]]:
    """Yield the arguments of each place whose weather a message asks for."""
    units: dict[str, JsonValue] = {}
    if IMPERIAL.search(text):
        units = {"units": "imperial"}
    elif METRIC.search(text):
        units = {"units": "metric"}
    for place in find_places(text, earlier):
        yield {"location": place, **units}


def find_places(text: str, earlier: Sequence[str]) -> list[str]:
    """Return the places whose weather a message asks for, also as a follow-up to an earlier question."""
    if WEATHER.search(text):
        found = PLACE.search(text) or PLACE_BEFORE.search(text)
    else:
        found = FOLLOW_UP.search(text) if earlier and WEATHER.search(earlier[-1]) else None
    places = []
    for candidate in re.split(r",|\s+and\s+|\s+or\s+|&", found["places"]) if found else []:
        place = NO_PLACE.sub("", candidate).strip(" '\"")
        if not place or len(place.split()) > 4:
            break
        places.append(re.sub(r"^the\s+", "", place, flags=re.I))
        if place != candidate.strip(" '\""):
            break
    return places
