"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import to_json

from events import TurnEvent

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": still here\n\n"
# Whatever some client takes for the end of a line.
LINE_END = re.compile("\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")
# JSON may hold these as they are, but to some clients they end a line.
ESCAPED = {char.encode(): f"\\u{ord(char):04x}".encode() for char in "\x85\u2028\u2029"}


def encode(event: TurnEvent) -> bytes:
    """Return a turn event: its number as ``id``, its type as ``event``, all of it as JSON in ``data``."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), one_line(event.to_json()))


def one_line(json: bytes) -> bytes:
    """Return the same JSON in what every client takes for one line."""
    for char, escape in ESCAPED.items():
        if char in json:
            json = json.replace(char, escape)
    return json


def encode_text(name: str, text: str) -> bytes:
    """Return an event whose data is plain text: each of its lines becomes a ``data`` line."""
    lines = "".join(f"data: {line}\n" for line in LINE_END.split(text))
    return f"event: {name}\n{lines}\n".encode()


def encode_json(name: str, data: Any) -> bytes:
    """Return an event whose data is JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), one_line(to_json(data)))
