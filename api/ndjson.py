"""Newline-delimited JSON (https://github.com/ndjson/ndjson-spec): one turn event a line; empty lines mean nothing."""

from __future__ import annotations

from events import TurnEvent

MEDIA_TYPE = "application/x-ndjson"
# An empty line, which readers skip: what stands in between ends a connection on which nothing comes.
HEARTBEAT = b"\n"


def encode(event: TurnEvent) -> bytes:
    """Return a turn event as a line."""
    return event.to_json() + b"\n"
