"""Keeps the events of this process's turns in the store, so that any process can show them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass

from events import FinalEvent
from stores.contract import ThreadStore
from stores.types import EventBatch
from turns.event_log import TurnLog

SAVE_SECONDS = 1.0
# Then the turn's last events are given up: its messages and its end are in the store anyway.
MAX_FAILURES = 5
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Watched:
    """A log, and up to where it has been stored."""

    thread_id: str
    log: TurnLog
    saved: int = 0
    failures: int = 0

    def batch(self, seconds_to_live: int) -> EventBatch | None:
        """Return what is not stored yet; the final event is left out, as it follows from the turn's record."""
        events = [event for event in self.log.behind(self.saved) if not isinstance(event, FinalEvent)]
        return EventBatch(self.thread_id, self.log.id, events, seconds_to_live) if events else None


class EventKeeper:
    """Stores new events in the background, at most once a second a turn; a failure never reaches the turn.

    ``seconds_to_live`` is how long they stay; with 0 nothing is stored.
    """

    def __init__(self, store: ThreadStore, *, seconds_to_live: int) -> None:
        self._store = store
        self._seconds_to_live = seconds_to_live
        self._watched: dict[str, Watched] = {}
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def watch(self, thread_id: str, log: TurnLog) -> None:
        """Keep a turn's events from its first one on."""
        self._watched[log.id] = Watched(thread_id, log)
        if self._task is None or self._task.done():
            # The work of many turns: not part of the trace and the log lines of the one that happened to begin it.
            self._task = asyncio.create_task(self._run(), context=Context())

    def log(self, turn_id: str) -> TurnLog | None:
        """Return a turn's log as long as the store does not have all of it."""
        watched = self._watched.get(turn_id)
        return watched.log if watched else None

    async def aclose(self) -> None:
        """Store what is left, and stop."""
        self._closing.set()
        if self._task:
            await self._task
        await self._save()

    async def _run(self) -> None:
        while self._watched and not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), SAVE_SECONDS)
            await self._save()

    async def _save(self) -> None:
        for watched in [each for each in self._watched.values() if each.log.ended]:
            if not self._seconds_to_live or watched.batch(0) is None or watched.failures >= MAX_FAILURES:
                del self._watched[watched.log.id]
        if not self._seconds_to_live:
            return
        batches = {each: batch for each in self._watched.values() if (batch := each.batch(self._seconds_to_live))}
        if not batches:
            return
        try:
            await self._store.save_events(list(batches.values()))
        except Exception:
            logger.warning("events of %d turns not stored", len(batches), exc_info=True)
            for watched in batches:
                watched.failures += 1
            return
        for watched, batch in batches.items():
            watched.saved = batch.events[-1].id
            watched.failures = 0
