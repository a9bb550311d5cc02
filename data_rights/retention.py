"""Deletes threads in which nothing has happened for a number of days."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from errors import ThreadNotFound
from models import utcnow
from stores.contract import ThreadStore
from stores.types import OwnedRef

SWEEP_EVERY_SECONDS = 3600.0
# Then it stops, and goes on with the next sweep: on Azure, a function that takes too long makes the host restart the process.
SWEEP_SECONDS = 240.0
THREADS_AT_ONCE = 100
logger = logging.getLogger(__name__)


class Retention:
    """Keeps threads for ``days`` after their last activity; 0 keeps them for good.

    Those whose owners are conversations of the bot may have their own ``bot_days``.
    """

    def __init__(
        self,
        store: ThreadStore,
        days: int,
        *,
        bot_days: int = 0,
        sweep_seconds: float = SWEEP_SECONDS,
        threads_at_once: int = THREADS_AT_ONCE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._days = days
        self._bot_days = bot_days
        self._sweep_seconds = sweep_seconds
        self._threads_at_once = threads_at_once
        self._now = now

    async def sweep(self) -> int:
        """Delete idle threads, for a few minutes at most; return how many.

        :raises Exception: what the store failed with, after all that could be deleted; what is left waits for the next sweep.
        """
        deadline = self._now() + self._sweep_seconds
        if not self._bot_days:
            return await self._sweep(self._days, deadline, conversations=None)
        try:
            deleted = await self._sweep(self._days, deadline, conversations=False)
        finally:
            of_bot = await self._sweep(self._bot_days, deadline, conversations=True)
        return deleted + of_bot

    async def _sweep(self, days: int, deadline: float, *, conversations: bool | None) -> int:
        deleted, since = 0, utcnow() - timedelta(days=days)
        failure: Exception | None = None
        while days and self._now() < deadline:
            before = deleted
            found = await self._store.idle_threads(since=since, limit=self._threads_at_once, conversations=conversations)
            for thread in found:
                try:
                    deleted += await self._delete(thread, since)
                except Exception as error:
                    logger.info("idle thread %s could not be deleted", thread.id, exc_info=True)
                    failure = error
                if self._now() >= deadline:
                    break
            # What is found again stays: it is active, or a replica that lags still shows it.
            if deleted == before:
                break
        if deleted:
            logger.info("%d threads deleted in which nothing happened for %d days", deleted, days)
        if failure:
            raise failure
        return deleted

    async def _delete(self, thread: OwnedRef, since: datetime) -> bool:
        try:
            return await self._store.delete_thread(thread.owner, thread.id, idle_since=since)
        except ThreadNotFound:
            return False


class HourlyRetention:
    """Sweeps once an hour while its body runs, for hosts without a timer of their own; a failed sweep waits for the next."""

    def __init__(self, retention: Retention, *, every_seconds: float = SWEEP_EVERY_SECONDS) -> None:
        self._retention = retention
        self._every_seconds = every_seconds
        self._sweeping: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._sweeping = asyncio.create_task(self._keep_sweeping())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sweeping.cancel()
        await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _keep_sweeping(self) -> None:
        while True:
            try:
                await self._retention.sweep()
            except Exception:
                logger.warning("the sweep for idle threads failed, will try again", exc_info=True)
            # Not all processes at the same moment.
            await asyncio.sleep(self._every_seconds * random.uniform(0.9, 1.1))  # noqa: S311 - keeps no secret
