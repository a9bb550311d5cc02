"""A turn's events as one reader gets them: read from a stream, and checked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tests.programs.chaos.journal import FINAL


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the event in a line of SSE or NDJSON, if there is one."""
    text = line.strip().removeprefix(b"data:").strip()
    event: dict[str, Any] | None = json.loads(text) if text.startswith(b"{") else None
    return event


async def read_events(lines: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a stream."""
    async for line in lines:
        if line.endswith(b"\n") and (event := parse_line(line)):
            yield event


@dataclass
class Reading:
    """What one reader has got of one turn, over all its connections; ``wrong`` is what must not be."""

    events: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    has_gap: bool = False

    @property
    def position(self) -> int:
        """The number of the last event."""
        return int(self.events[-1]["id"]) if self.events else 0

    @property
    def turn_id(self) -> str | None:
        """The turn, as soon as it is known."""
        return str(self.events[0]["turn_id"]) if self.events else None

    @property
    def final(self) -> dict[str, Any] | None:
        """The event that ended the turn, once it is there."""
        return self.events[-1] if self.events and self.events[-1]["type"] in FINAL else None

    def add(self, event: dict[str, Any]) -> None:
        """Take the next event.

        Events that were not stored yet when their process died are missing before the final one, nowhere else.
        """
        if self.final:
            self.wrong.append(f"{event} came behind the final event {self.final}")
        if self.events and event["turn_id"] != self.turn_id:
            self.wrong.append(f"{event} is not of turn {self.turn_id}")
        if event["id"] != self.position + 1:
            self.has_gap = True
            if event["type"] not in FINAL or event["id"] <= self.position:
                self.wrong.append(f"turn {event['turn_id']}: event {event['id']} ({event['type']}) behind {self.position}")
        if event["type"] == "tool.completed" and event["call_id"] not in self._calls("tool.started"):
            self.wrong.append(f"turn {event['turn_id']}: {event} without a start")
        self.events.append(event)
        if event["type"] == "message.completed" and not self.has_gap:
            self._check_whole(event["message"])

    def _check_whole(self, message: dict[str, Any]) -> None:
        told = "".join(event["text"] for event in self.events if event["type"] == "message.delta")
        calls = self._calls("tool.started"), self._calls("tool.completed"), [call["id"] for call in message["tool_calls"]]
        if len(self.events) > 1 and told != message["content"]:
            self.wrong.append(f"turn {self.turn_id} told {told!r}, then said {message['content']!r}")
        if len(self.events) > 1 and not sorted(calls[0]) == sorted(calls[1]) == sorted(calls[2]):
            self.wrong.append(f"turn {self.turn_id} called {calls[0]}, ended {calls[1]}, kept {calls[2]}")

    def _calls(self, event_type: str) -> list[str]:
        return [event["call_id"] for event in self.events if event["type"] == event_type]
