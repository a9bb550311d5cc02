"""A turn's events in this process: the log that readers follow."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence

from events import FinalEvent, MessageDelta, ToolCompleted, TurnEvent, TurnFailed, end_with
from models import Message, Problem
from stores.types import ReplayedTurn
from turns.waiters import Waiters


class EventLog:
    """A turn's events: complete, in order, and open to any number of readers.

    Readers share the log and keep only their place in it, so a slow one holds nothing up and no memory of its own.
    """

    def __init__(self, thread_id: str, turn_id: str, *, replayed: bool = False) -> None:
        self.thread_id = thread_id
        self.id = turn_id
        self.replayed = replayed
        self.tool_calls = 0
        # On the clock of time.perf_counter.
        self.first_text_at: float | None = None
        self._events: list[TurnEvent] = []
        self._final: FinalEvent | None = None
        self._abandoned: Problem | None = None
        self._changed = Waiters()

    @property
    def next_id(self) -> int:
        """The number of the event that comes next."""
        return len(self._events) + 1

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._final is not None or self._abandoned is not None

    @property
    def final_id(self) -> int | None:
        """The number of the final event, once there is one."""
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
        self._changed.notify()

    def abandon(self, problem: Problem) -> None:
        """End the log without a final event: how the turn has ended, or will end, only the store knows.

        Who streams it sees it break off, and finds the end by following the turn; who waits for it is told the problem.
        """
        self._abandoned = problem
        self._changed.notify()

    def end(self, message: Message) -> None:
        """Append the final event of a turn that has a reply, whole or partial."""
        self.emit(end_with(message, id=self.next_id))

    def events_after(self, after: int) -> Sequence[TurnEvent]:
        """Return the events after number ``after`` that there are."""
        return self._events[after:]

    async def stream(self, *, after: int = 0, heartbeat_interval: float | None = None) -> AsyncGenerator[Sequence[TurnEvent]]:
        """Yield the events after number ``after``, as many at once as there are, until the log ends.

        Yields an empty batch whenever nothing has come for ``heartbeat_interval`` seconds.
        """
        position = after
        while True:
            batch = self._events[position:]
            if batch:
                position += len(batch)
                yield batch
            elif self.ended:
                return
            elif not await self._changed.wait(heartbeat_interval):
                yield ()

    async def wait(self) -> Message | Problem:
        """Wait for the end of the turn; return its :attr:`result`."""
        while self.result is None:
            await self._changed.wait(None)
        return self.result

    @property
    def result(self) -> Message | Problem | None:
        """How the turn has ended: the reply, whole or partial, or why there is none; ``None`` while it runs."""
        if self._final is None:
            return self._abandoned
        return self._final.problem if isinstance(self._final, TurnFailed) else self._final.message


def replay(replayed: ReplayedTurn) -> EventLog:
    """Return the log of a turn that has completed, or was cancelled, before."""
    log = EventLog(replayed.message.thread_id, replayed.message.turn_id, replayed=True)
    log.end(replayed.message)
    return log
