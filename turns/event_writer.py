"""Writes the events of this process's turns to the store, so that any process can show them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass

from events import FinalEvent
from stores.contract import ThreadStore
from stores.types import EventBatch
from turns.event_log import EventLog

# Then the turn's last events are given up: its messages and its end are in the store anyway.
MAX_FAILURES = 5
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class TrackedTurn:
    """A log, and up to where it has been stored."""

    thread_id: str
    log: EventLog
    saved: int = 0
    failures: int = 0

    def batch(self, seconds_to_live: int) -> EventBatch | None:
        """Return what is not stored yet; the final event is left out, as it follows from the turn's record."""
        events = [event for event in self.log.events_after(self.saved) if not isinstance(event, FinalEvent)]
        return EventBatch(self.thread_id, self.log.id, events, seconds_to_live) if events else None


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

    def track(self, thread_id: str, log: EventLog) -> None:
        """Store a turn's events from its first one on."""
        self._tracked[log.id] = TrackedTurn(thread_id, log)
        if self._task is None or self._task.done():
            # The work of many turns: not part of the trace and the log lines of the one that happened to begin it.
            self._task = asyncio.create_task(self._run(), context=Context())

    def log(self, turn_id: str) -> EventLog | None:
        """Return a turn's log as long as the store does not have all of it."""
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
            if not self._seconds_to_live or tracked.batch(0) is None or tracked.failures >= MAX_FAILURES:
                del self._tracked[tracked.log.id]
        if not self._seconds_to_live:
            return
        batches = {each: batch for each in self._tracked.values() if (batch := each.batch(self._seconds_to_live))}
        if not batches:
            return
        try:
            await self._store.save_events(list(batches.values()))
        except Exception:
            logger.warning("storing events of %d turns failed", len(batches), exc_info=True)
            for tracked in batches:
                tracked.failures += 1
            return
        for tracked, batch in batches.items():
            tracked.saved = batch.events[-1].id
            tracked.failures = 0
