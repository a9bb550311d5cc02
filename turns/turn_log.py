"""A turn's events in this process: the log that readers follow, and the answer that grows by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic import JsonValue

from citations import cited
from records import Citation, EventType, Message, Problem, ReplayedTurn, ToolCall, TurnEvent

FINAL_TYPES: frozenset[EventType] = frozenset(("message.completed", "turn.failed", "turn.cancelled"))


class TurnLog:
    """A turn's events: complete, in order, and open to any number of readers.

    Readers share the log and keep only their place in it, so a slow one holds nothing up and no memory of its own.
    """

    def __init__(self, turn_id: str, *, replayed: bool = False) -> None:
        self.id = turn_id
        self.replayed = replayed
        self.ended = False
        # On the clock of time.perf_counter.
        self.first_text_at: float | None = None
        self._events: list[TurnEvent] = []
        self._waiting: set[asyncio.Future[bool]] = set()

    @property
    def next_id(self) -> int:
        """The number of the event that comes next."""
        return len(self._events) + 1

    @property
    def final_id(self) -> int | None:
        """The number of the last event, once the turn has ended."""
        return len(self._events) if self.ended else None

    def emit(self, type: EventType, **data: Any) -> None:
        """Append an event and wake the readers; one of the final types ends the log."""
        self._events.append(TurnEvent(self.next_id, type, self.id, data))
        self.ended = type in FINAL_TYPES
        if type == "message.delta" and self.first_text_at is None:
            self.first_text_at = time.perf_counter()
        for changed in self._waiting:
            _set(changed, True)

    def end(self, message: Message) -> None:
        """Append the final event of a turn that has an answer, whole or partial."""
        self.emit("turn.cancelled" if message.status == "cancelled" else "message.completed", message=message)

    def behind(self, after: int) -> Sequence[TurnEvent]:
        """Return the events behind number ``after`` that there are."""
        return self._events[after:]

    async def batches(self, *, after: int = 0, silence: float | None = None) -> AsyncIterator[Sequence[TurnEvent]]:
        """Yield the events behind number ``after``, as many at once as there are, until the log ends.

        Yields an empty batch whenever nothing has come for ``silence`` seconds.
        """
        position = after
        while True:
            batch = self._events[position:]
            if batch:
                position += len(batch)
                yield batch
            elif self.ended:
                return
            elif not await self._changed(silence):
                yield ()

    async def outcome(self) -> Message | Problem:
        """Wait for the end of the turn; return its :attr:`result`."""
        while not self.ended:
            await self._changed(None)
        return self.result

    @property
    def result(self) -> Message | Problem:
        """How the turn has ended: the answer, whole or partial, or why there is none."""
        data = self._events[-1].data
        found: Message | Problem = data.get("message") or data["problem"]
        return found

    def count(self, type: EventType) -> int:
        """Return how many events of a type there are."""
        return sum(event.type == type for event in self._events)

    async def _changed(self, silence: float | None) -> bool:
        """Wait for the next event; return whether it came within ``silence`` seconds."""
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(changed)
        timer = loop.call_later(silence, _set, changed, False) if silence is not None else None
        try:
            return await changed
        finally:
            self._waiting.discard(changed)
            if timer:
                timer.cancel()


def _set(changed: asyncio.Future[bool], value: bool) -> None:
    if not changed.done():
        changed.set_result(value)


def replay(replayed: ReplayedTurn) -> TurnLog:
    """Return the log of a turn that has completed, or was cancelled, before."""
    log = TurnLog(replayed.message.turn_id, replayed=True)
    log.end(replayed.message)
    return log


class Answer:
    """The answer as it grows: an :class:`tool_calls.RunObserver` that turns what the agent does into events."""

    def __init__(self, log: TurnLog) -> None:
        self._log = log
        self._pieces: list[str] = []
        self._calls: dict[str, ToolCall | None] = {}
        self._sources: list[Citation] = []

    def text(self, piece: str) -> None:
        """Take the next piece of the answer's text."""
        self._pieces.append(piece)
        self._log.emit("message.delta", text=piece)

    def tool_started(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> None:
        """Take note of a tool call that the model asked for."""
        self._calls[call_id] = None
        self._log.emit("tool.started", call_id=call_id, tool=tool, arguments=arguments)

    def source_found(self, source: Citation) -> None:
        """Take note of something that the answer may cite."""
        self._sources.append(source)

    def tool_completed(self, call: ToolCall) -> None:
        """Take a tool call's result or error."""
        self._calls[call.id] = call
        outcome = {"result": call.result} if call.error is None else {"error": call.error}
        self._log.emit("tool.completed", call_id=call.id, tool=call.tool, **outcome, duration_ms=call.duration_ms)

    @property
    def content(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls that have ended, in the order in which they began."""
        return [call for call in self._calls.values() if call is not None]

    @property
    def citations(self) -> list[Citation]:
        """What the text so far cites."""
        return cited(self.content, self._sources)
