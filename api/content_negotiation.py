"""How the caller wants the answer: ``Accept`` and ``Accept-Language`` (RFC 9110, section 12.5), ``Prefer`` (RFC 7240)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Header

from errors import NotAcceptable

AcceptHeader = Annotated[list[str] | None, Header(alias="accept", include_in_schema=False)]
# More digits than anybody waits seconds.
WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.I | re.ASCII)
QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.I)


def negotiate(accept: Sequence[str] | None, offers: Sequence[str]) -> str:
    """Return the media type that the caller likes best; the first offer if the header is missing or leaves it open.

    Of equally liked types one that is named wins over one that a wildcard allows. An entry that is not well formed allows
    nothing.

    :raises NotAcceptable: if none of the offers is acceptable.
    """
    ranges = [_range(entry) for header in accept or () for entry in header.split(",") if entry.strip()]
    if not ranges:
        return offers[0]
    candidates = [(*_quality(offer, ranges), -place, offer) for place, offer in enumerate(offers)]
    quality, _, _, best = max(candidates)
    if quality <= 0:
        raise NotAcceptable(offers)
    return best


def preferred_languages(accept_language: str | None) -> list[str]:
    """Return the language tags that the caller reads, those it likes best first."""
    ranges = [_range(entry) for entry in (accept_language or "").split(",") if entry.strip()]
    return [tag for tag, quality in sorted(ranges, key=lambda each: -each[1]) if quality > 0]


def wait_seconds(prefer: Sequence[str] | None) -> int:
    """Return how long the ``Prefer`` header is ready to wait (RFC 7240, section 4.3); 0 where it does not say so."""
    for header in prefer or ():
        for each in header.split(","):
            if match := WAIT.fullmatch(each.partition(";")[0].strip()):
                return int(match[1])
    return 0


def wants_async(prefer: Sequence[str] | None) -> bool:
    """Tell whether the ``Prefer`` header asks for an answer at once (RFC 7240, section 4.1)."""
    preferences = [each.partition(";")[0].strip().lower() for header in prefer or () for each in header.split(",")]
    return "respond-async" in preferences


def _range(entry: str) -> tuple[str, float]:
    name, *parameters = [part.strip() for part in entry.split(";")]
    for parameter in parameters:
        if parameter.lower().startswith("q="):
            match = QUALITY.fullmatch(parameter)
            return name.lower(), float(match[1]) if match else 0.0
    return name.lower(), 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int]:
    """Return an offer's quality and how specific the range is that gives it: the most specific one counts."""
    kind = offer.partition("/")[0]
    for specificity, media_range in ((2, offer), (1, f"{kind}/*"), (0, "*/*")):
        qualities = [quality for each, quality in ranges if each == media_range]
        if qualities:
            return max(qualities), specificity
    return 0.0, -1
