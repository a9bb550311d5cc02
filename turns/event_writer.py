"""Writes the events of this process's turns to the store, so that any process can show them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import PydanticSerializationError

from errors import StoreUnavailable
from events import FinalEvent, TurnEvent
from stores.contract import ThreadStore
from stores.types import EventBatch
from turns.event_log import EventLog

# Then the turn's last events are given up: its messages and its end are in the store anyway.
MAX_FAILURES = 5
# A store takes 2 MB at most.
MAX_BATCH_BYTES = 512 * 1024
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class TrackedTurn:
    """A log, and up to where it has been stored; one that is not ``kept`` is not stored at all."""

    log: EventLog
    thread_created_at: datetime | None = None
    kept: bool = True
    saved: int = 0
    failures: int = 0

    def batch(self, seconds_to_live: int, *, before: int) -> EventBatch | None:
        """Return what is not stored yet of the events before a number, or as much of it as one write should hold.

        The final event is left out, as it follows from the turn's record.
        """
        events: list[TurnEvent] = []
        room = MAX_BATCH_BYTES
        for event in self.log.events_after(self.saved):
            room -= _size(event)
            if event.id >= before or isinstance(event, FinalEvent) or (events and room < 0):
                break
            events.append(event)
        if not events:
            return None
        return EventBatch(self.log.thread_id, self.log.id, events, seconds_to_live, self.thread_created_at)

    @property
    def is_stored(self) -> bool:
        """Whether the turn has ended, and all of its events are stored that shall be."""
        return self.log.ended and (not self.kept or self.saved >= (self.log.final_id or self.log.next_id) - 1)


class EventWriter:
    """Stores new events in the background, every ``interval`` seconds; a failure never reaches the turn.

    ``seconds_to_live`` is how long they stay; with 0 nothing is stored.
    """

    def __init__(self, store: ThreadStore, *, seconds_to_live: int, interval: float) -> None:
        self._store = store
        self._seconds_to_live = seconds_to_live
        self._interval = interval
        self._tracked: dict[str, TrackedTurn] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def track(self, log: EventLog, thread_created_at: datetime | None = None, *, kept: bool = True) -> None:
        """Store a turn's events from its first one on, in the thread that was created at that moment and no later one.

        One that is not ``kept`` has its log here while it runs, and nothing of it is stored.
        """
        self._tracked[log.id] = TrackedTurn(log, thread_created_at, kept and self._seconds_to_live > 0)
        if self._task is None or self._task.done():
            # The work of many turns: not part of the trace and the log lines of the one that happened to begin it.
            self._task = asyncio.create_task(self._run(), context=Context())

    def log(self, turn_id: str) -> EventLog | None:
        """Return a turn's log as long as the store does not have all of it that it will have."""
        tracked = self._tracked.get(turn_id)
        return tracked.log if tracked else None

    async def aclose(self) -> None:
        """Store what is left, and stop."""
        self._closing.set()
        if self._task:
            await self._task
        await self._save()

    async def _run(self) -> None:
        while self._tracked and not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._interval)
            await self._save()

    async def _save(self) -> None:
        for tracked in [each for each in self._tracked.values() if each.log.ended]:
            if tracked.is_stored or tracked.failures >= MAX_FAILURES:
                del self._tracked[tracked.log.id]
        # Up to here, in as many writes as that takes; what comes meanwhile can wait.
        ends = {each: each.log.next_id for each in self._tracked.values() if each.kept}
        while batches := {
            each: batch for each, end in ends.items() if (batch := each.batch(self._seconds_to_live, before=end))
        }:
            for failed in await self._save_batches(batches):
                del ends[failed]

    async def _save_batches(self, batches: Mapping[TrackedTurn, EventBatch]) -> list[TrackedTurn]:
        """Store a batch of each turn; return the turns to leave alone for now. What can never be stored is left out."""
        outcomes: Sequence[Exception | None]
        try:
            outcomes = await self._store.save_events(list(batches.values()))
        except Exception:
            logger.warning("storing events of %d turns failed, will retry", len(batches), exc_info=True)
            outcomes = [StoreUnavailable()] * len(batches)
        failed = []
        for (tracked, batch), failure in zip(batches.items(), outcomes, strict=True):
            if isinstance(failure, StoreUnavailable):
                logger.info("events of turn %s not stored yet", batch.turn_id, exc_info=failure)
                tracked.failures += 1
                failed.append(tracked)
                continue
            if failure:
                logger.error("events of turn %s cannot be stored: they are left out", batch.turn_id, exc_info=failure)
            tracked.saved, tracked.failures = batch.events[-1].id, 0
        return failed


def _size(event: TurnEvent) -> int:
    """Return how many bytes an event needs, about; one that cannot be written needs none."""
    try:
        return len(event.to_json())
    except PydanticSerializationError:
        return 0
