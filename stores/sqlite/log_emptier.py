"""Empties the write-ahead log of a SQLite file after deletions: until then, it still holds what was deleted."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context

from errors import StoreError
from stores.sqlite.database import SqliteDatabase

# From one try to the next: a burst of deletions is one try, and somebody in the way is not asked too often.
PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
logger = logging.getLogger(__name__)


class LogEmptier:
    """Empties the log in the background, so that no answer waits for it; tries again while somebody is in the way."""

    def __init__(self, database: SqliteDatabase, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._database = database
        self._pause_seconds = pause_seconds
        self._is_due = False
        self._task: asyncio.Task[None] | None = None

    def empty_soon(self) -> None:
        """Empty the log at once, or a pause after the last time."""
        self._is_due = True
        if self._task is None or self._task.done():
            # No request's trace tells of it, as it may outlive the request.
            self._task = asyncio.create_task(self._run(), context=Context())

    async def aclose(self) -> None:
        """Stop trying; if the log is still to be emptied, try one last time."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._is_due and not await self._try():
            logger.warning("the write-ahead log could not be emptied: SQLite does it later")

    async def _run(self) -> None:
        pause = self._pause_seconds
        while self._is_due:
            pause = self._pause_seconds if await self._try() else min(2 * pause, MAX_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _try(self) -> bool:
        """Return whether all that had been deleted before is gone from the log."""
        self._is_due = False
        emptied = False
        try:
            emptied = await self._database.empty_log()
        except StoreError:
            logger.warning("emptying the write-ahead log failed, will try again", exc_info=True)
        finally:
            self._is_due |= not emptied
        return emptied
