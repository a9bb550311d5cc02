"""A turn's events in this process: the log that readers follow, and the answer that grows by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from pydantic import JsonValue

from agent.citations import cited
from events import FinalEvent, MessageDelta, ToolCompleted, ToolStarted, TurnEvent, TurnFailed, end_with
from models import Citation, Message, Problem, ToolCall
from stores.types import ReplayedTurn


class TurnLog:
    """A turn's events: complete, in order, and open to any number of readers.

    Readers share the log and keep only their place in it, so a slow one holds nothing up and no memory of its own.
    """

    def __init__(self, turn_id: str, *, replayed: bool = False) -> None:
        self.id = turn_id
        self.replayed = replayed
        self.tool_calls = 0
        # On the clock of time.perf_counter.
        self.first_text_at: float | None = None
        self._events: list[TurnEvent] = []
        self._final: FinalEvent | None = None
        self._waiting: set[asyncio.Future[bool]] = set()

    @property
    def next_id(self) -> int:
        """The number of the event that comes next."""
        return len(self._events) + 1

    @property
    def ended(self) -> bool:
        """Whether the log is complete."""
        return self._final is not None

    @property
    def final_id(self) -> int | None:
        """The number of the last event, once the turn has ended."""
        return self._final.id if self._final else None

    def emit(self, event: TurnEvent) -> None:
        """Append an event, whose id is :attr:`next_id`, and wake the readers; a final one ends the log."""
        self._events.append(event)
        if isinstance(event, MessageDelta):
            self.first_text_at = self.first_text_at or time.perf_counter()
        elif isinstance(event, ToolCompleted):
            self.tool_calls += 1
        elif isinstance(event, FinalEvent):
            self._final = event
        for changed in self._waiting:
            _set(changed, True)

    def end(self, message: Message) -> None:
        """Append the final event of a turn that has a reply, whole or partial."""
        self.emit(end_with(message, id=self.next_id))

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
        while self.result is None:
            await self._changed(None)
        return self.result

    @property
    def result(self) -> Message | Problem | None:
        """How the turn has ended: the reply, whole or partial, or why there is none; ``None`` while it runs."""
        if self._final is None:
            return None
        return self._final.problem if isinstance(self._final, TurnFailed) else self._final.message

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
        self._log.emit(MessageDelta(id=self._log.next_id, turn_id=self._log.id, text=piece))

    def tool_started(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> None:
        """Take note of a tool call that the model asked for."""
        self._calls[call_id] = None
        self._log.emit(ToolStarted(id=self._log.next_id, turn_id=self._log.id, call_id=call_id, tool=tool, arguments=arguments))

    def source_found(self, source: Citation) -> None:
        """Take note of something that the answer may cite."""
        self._sources.append(source)

    def tool_completed(self, call: ToolCall) -> None:
        """Take a tool call's result or error."""
        self._calls[call.id] = call
        self._log.emit(
            ToolCompleted(
                id=self._log.next_id,
                turn_id=self._log.id,
                call_id=call.id,
                tool=call.tool,
                result=call.result,
                error=call.error,
                duration_ms=call.duration_ms,
            )
        )

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
