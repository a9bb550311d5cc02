"""Rows of the lists of threads in Cosmos DB, written behind: a thread's first at once, those of a busy one every few seconds.

What waits is written when the process stops, and when its owner asks for the list here. A process that dies loses what waited,
for as long as nobody needs it: the thread's next turn, in whichever process, brings its row up to date at once, and whoever
reads the thread compares the two.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from errors import ChatError
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.documents import ThreadDocument, row_document
from stores.cosmos.patch import less_than, of_incarnation, row_changes

ROW_SECONDS = 5.0
logger = logging.getLogger(__name__)


class CosmosRows:
    """Writes rows. One follows its thread and may lag behind it, but never goes back in time.

    In the background, a thread's is written once in ``seconds``.
    """

    def __init__(self, threads: CosmosContainer, seconds: float = ROW_SECONDS) -> None:
        self._threads = threads
        self._seconds = seconds
        # Of threads whose row was written lately.
        self._timers: dict[str, asyncio.TimerHandle] = {}
        # What their rows are to show.
        self._waiting: dict[str, ThreadDocument] = {}
        # With the owners whose rows they write.
        self._writes: dict[asyncio.Task[None], str] = {}

    async def aclose(self) -> None:
        """Write what waits, and wait for what is being written."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._settle(lambda _: True)

    async def add(self, document: ThreadDocument) -> None:
        """Put a thread on its owner's list, unless it is there."""
        await self._threads.create(document.owner_hash, row_document(document))

    async def update(self, document: ThreadDocument) -> None:
        """Bring a thread's row up to date now, unless it is already."""
        waiting = self._waiting.get(document.id)
        if waiting and not _is_newer(waiting, document):
            del self._waiting[document.id]
        older = of_incarnation(document, deleting=False) + less_than("rev", document.rev)
        try:
            await self._threads.patch(document.owner_hash, document.id, row_changes(document), older)
        except PreconditionFailed:
            logger.debug("list entry of thread %s is newer already, or gone", document.id)

    def update_later(self, document: ThreadDocument) -> None:
        """Bring a thread's row up to date in the background."""
        if document.id not in self._timers:
            self._start(document)
            return
        waiting = self._waiting.get(document.id)
        if waiting is None or _is_newer(document, waiting):
            self._waiting[document.id] = document

    def update_soon(self, document: ThreadDocument) -> None:
        """Bring a thread's row up to date in the background, without waiting for its time: somebody is asked."""
        self._write(document)

    async def flush(self, owner_hash: str) -> None:
        """Write what waits of an owner's rows, and wait for what is being written."""
        await self._settle(lambda owner: owner == owner_hash)

    async def _settle(self, is_asked_for: Callable[[str], bool]) -> None:
        for document in [each for each in self._waiting.values() if is_asked_for(each.owner_hash)]:
            del self._waiting[document.id]
            self._write(document)
        # Not gathered: whoever stops waiting must not stop what is written for all.
        if writes := [task for task, owner in self._writes.items() if is_asked_for(owner)]:
            await asyncio.wait(writes)

    def _start(self, document: ThreadDocument) -> None:
        loop = asyncio.get_running_loop()
        self._timers[document.id] = loop.call_later(self._seconds, self._start_waiting, document.id)
        self._write(document)

    def _write(self, document: ThreadDocument) -> None:
        task = asyncio.create_task(self._try_to_update(document))
        self._writes[task] = document.owner_hash
        task.add_done_callback(self._writes.pop)

    def _start_waiting(self, id: str) -> None:
        del self._timers[id]
        if document := self._waiting.pop(id, None):
            self._start(document)

    async def _try_to_update(self, document: ThreadDocument) -> None:
        try:
            await self.update(document)
        except ChatError:
            logger.exception("list entry update of thread %s failed", document.id)


def _is_newer(document: ThreadDocument, other: ThreadDocument) -> bool:
    """Whether a document is later than another of the same id, which may be of a thread that was there before."""
    return (document.created_at, document.rev) > (other.created_at, other.rev)
