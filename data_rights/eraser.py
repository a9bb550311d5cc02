"""Runs erasures in the background, and takes up those that another process has left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from models import Erasure, Owner, utcnow
from stores.contract import ThreadStore
from stores.types import OwnedRef

Forget = Callable[[Owner], Awaitable[None]]
"""Deletes what is kept about an owner outside of the thread store. Called at least once an erasure; again is safe."""

POLL_SECONDS = 60.0
# An erasure on which nobody has worked for so long has lost its process.
STALE_AFTER_SECONDS = 60.0
# Between two tries: after a failure, and while something is left that cannot be erased yet.
PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
THREADS_AT_ONCE = 10
# A bot that is removed from a team leaves an erasure for each chain of replies.
ERASURES_AT_ONCE = 10
logger = logging.getLogger(__name__)


class Eraser:
    """Erases owners' data; ``forget`` are called for each owner once their threads are gone.

    Use it as an async context manager: entering begins to look for erasures that were left, leaving stops all work, for a
    later process to take up. Nothing here waits for the store before that. Two processes on one erasure do no harm. Of
    many erasures some are worked on while the others wait.
    """

    def __init__(
        self,
        store: ThreadStore,
        forget: Sequence[Forget] = (),
        *,
        poll_seconds: float = POLL_SECONDS,
        stale_after_seconds: float = STALE_AFTER_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._stale_after = timedelta(seconds=stale_after_seconds)
        self._pause_seconds = pause_seconds
        self._forget = forget
        self._places = asyncio.Semaphore(ERASURES_AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._keep_polling())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = [self._looking, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def begin(self, owner: Owner) -> Erasure:
        """Begin to erase everything that an owner has, or join the erasure that is running; return it."""
        erasure = await self._store.begin_erasure(owner)
        self._work_on(OwnedRef(owner, erasure.id))
        return erasure

    async def resume(self, *, wait_seconds: float) -> None:
        """Work on erasures that another process has left, and wait a while for all that run here to end.

        :raises StoreError: if the store could not be asked for them.
        """
        await self._poll()
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=wait_seconds)

    async def _keep_polling(self) -> None:
        while True:
            try:
                await self._poll()
            except Exception:
                logger.warning("listing abandoned erasures failed, will try again", exc_info=True)
            await asyncio.sleep(self._poll_seconds)

    async def _poll(self) -> None:
        stale_since = utcnow() - self._stale_after
        for left in await self._store.abandoned_erasures(stale_since=stale_since):
            self._work_on(left)

    def _work_on(self, erasure: OwnedRef) -> None:
        if erasure.id not in self._running:
            self._running[erasure.id] = task = asyncio.create_task(self._erase(erasure))
            task.add_done_callback(lambda _: self._running.pop(erasure.id, None))

    async def _erase(self, erasure: OwnedRef) -> None:
        pause = self._pause_seconds
        while True:
            try:
                async with self._places:
                    completed = await self._try_to_complete(erasure)
                if completed:
                    return
                pause = self._pause_seconds
            except Exception:
                logger.exception("erasure %s failed, will try again", erasure.id)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _try_to_complete(self, erasure: OwnedRef) -> bool:
        while await self._store.erase_threads(erasure.owner, erasure.id, limit=THREADS_AT_ONCE):
            pass
        for forget in self._forget:
            await forget(erasure.owner)
        return await self._store.complete_erasure(erasure.owner, erasure.id)
