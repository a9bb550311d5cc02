"""Looking at a turn that another process runs, once for all of this process's followers."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, replace

from errors import ChatError, StoreUnavailable, TurnInterrupted
from events import FinalEvent, TurnEvent, TurnFailed, end_with
from models import Owner, Problem, Turn, utcnow
from stores.contract import ThreadStore
from stores.types import TurnProgress
from turns.intervals import TurnIntervals
from turns.waiters import Waiters

BACKOFF = 1.5
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Reader:
    """A follower's place: the number of the last event that it has, or need not have."""

    position: int


@dataclass(frozen=True, slots=True)
class PollOptions:
    """How turns are polled; ``events_kept`` says whether events are stored at all."""

    intervals: TurnIntervals
    events_kept: bool


class TurnPoller:
    """Looks at a turn until it has ended, and keeps the events that not all of its readers have taken.

    Begins with what is known already: a turn's ``progress``, for a reader who has its events up to ``position``.
    """

    def __init__(self, store: ThreadStore, owner: Owner, progress: TurnProgress, position: int, options: PollOptions) -> None:
        self._store = store
        self._owner = owner
        self._options = options
        self._readers: set[Reader] = set()
        self._changed = Waiters()
        self._progress = replace(progress, events=())
        # What has been read: the events behind ``start``, up to ``position``.
        self._start = self._position = position
        self._events: list[TurnEvent] = []
        # The work of many followers: not part of the trace and the log lines of the one that happened to begin it.
        self.task = asyncio.create_task(self._run(), context=Context())
        self.task.add_done_callback(lambda _: self._changed.notify())

    def join(self, position: int) -> Reader:
        """Let somebody read the events behind a position."""
        if position < self._start:
            # What it misses the others have taken already: it comes again, and they skip it.
            self._start = self._position = position
            self._events.clear()
        reader = Reader(position)
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> bool:
        """Let a reader go; the last one ends the poller. Return whether this was the last one."""
        self._readers.discard(reader)
        if not self._readers:
            self.task.cancel()
        return not self._readers

    async def read(self, reader: Reader, *, heartbeat_interval: float) -> Sequence[TurnEvent] | None:
        """Wait for the reader's next events; ``None`` if no more will come, none when nothing has come for some seconds."""
        while True:
            events = self._events[bisect_right(self._events, reader.position, key=lambda event: event.id) :]
            if events:
                reader.position = events[-1].id
                self._drop_taken()
                return events
            if self.task.done():
                return None
            if not await self._changed.wait(heartbeat_interval):
                return ()

    def final_event(self, reader: Reader) -> FinalEvent | None:
        """Return the event that ends a reader's stream once :meth:`read` has nothing more; ``None`` if it has it already.

        Also ``None`` if polling was stopped: nobody knows how the turn goes on.
        """
        if self.task.cancelled():
            return None
        if problem := self.task.result():
            return TurnFailed(id=reader.position + 1, turn_id=self._progress.turn.id, problem=problem)
        return final_event(self._progress, reader.position)

    def _drop_taken(self) -> None:
        self._start = min(self._position, *(reader.position for reader in self._readers))
        del self._events[: bisect_right(self._events, self._start, key=lambda event: event.id)]

    async def _run(self) -> Problem | None:
        """Poll until nothing more will come; return what is wrong with the thread or the store, if that is why."""
        intervals, turn = self._options.intervals, self._progress.turn
        wait = intervals.follow
        while not is_over(self._progress, self._position, self._options):
            await asyncio.sleep(wait)
            wait = min(wait * BACKOFF, intervals.follow_silent)
            position = self._position
            try:
                progress = await self._store.get_progress(self._owner, turn.thread_id, turn.id, after=position)
            except StoreUnavailable:
                # The turn may be well: what was missed comes with the next answer.
                logger.warning("following turn %s failed, will retry", turn.id, exc_info=True)
                continue
            except ChatError as error:
                return Problem.of(error)
            # Else somebody has joined meanwhile who misses earlier events.
            if position == self._position:
                self._take(progress)
                if progress.events or progress.turn.status != "running":
                    wait = intervals.follow
        return None

    def _take(self, progress: TurnProgress) -> None:
        self._progress = replace(progress, events=())
        if progress.events:
            self._events += progress.events
            self._position = progress.events[-1].id
            self._changed.notify()


def is_over(progress: TurnProgress, position: int, options: PollOptions) -> bool:
    """Tell whether nothing but the final event is to come for a reader who has the events up to ``position``."""
    if progress.turn.status == "running":
        return False
    return not (options.events_kept and progress.events_kept and _is_lagging(progress, position, options.intervals.event_lag))


def final_event(progress: TurnProgress, position: int) -> FinalEvent | None:
    """Return the event that ended a turn, for a reader who has seen the events up to ``position``; ``None`` if that was it."""
    turn, id = progress.turn, progress.final_event_id
    if id is not None and position >= id:
        return None
    id = id or position + 1
    if turn.message:
        return end_with(turn.message, id=id)
    return TurnFailed(id=id, turn_id=turn.id, problem=turn.problem or Problem.of(TurnInterrupted()))


def _is_lagging(progress: TurnProgress, position: int, seconds: float) -> bool:
    return (
        progress.final_event_id is not None and position < progress.final_event_id - 1 and _ended_lately(progress.turn, seconds)
    )


def _ended_lately(turn: Turn, seconds: float) -> bool:
    return turn.ended_at is None or (utcnow() - turn.ended_at).total_seconds() < seconds
