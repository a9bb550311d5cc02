"""Newline-delimited JSON: one turn event a line."""

from __future__ import annotations

from turn_events import TurnEvent

MEDIA_TYPE = "application/x-ndjson"


def encode(event: TurnEvent) -> bytes:
    """Return a turn event as a line."""
    return event.to_json() + b"\n"
