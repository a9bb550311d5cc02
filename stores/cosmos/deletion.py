"""Deleting threads in Cosmos DB: step by step, in an order in which a deletion that was stopped can be found and completed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from errors import ThreadNotFound
from models import Owner, utcnow
from stores.cosmos.container import CosmosContainer, Operation, Refused, delete
from stores.cosmos.documents import ThreadDocument
from stores.cosmos.patch import changes, condition, less_than, thread_changes
from stores.types import Owned

CONTENTS_BATCH = 50
CONTENTS = f"SELECT TOP {CONTENTS_BATCH} c.id FROM c WHERE c.type IN ('message', 'turn', 'key', 'events')"  # noqa: S608 - our own number
# By `_ts`, the time of the last write, which Cosmos DB keeps and indexes itself: a lease that is taken or renewed counts too.
STOPPED = "SELECT c.id, c.tenant, c.user FROM c WHERE c.type = 'thread' AND c.deleting = true AND c._ts < @moment"
IDLE = "SELECT c.id, c.tenant, c.user FROM c WHERE c.type = 'thread' AND c._ts < @moment"
STOPPED_AFTER = timedelta(minutes=1)
logger = logging.getLogger(__name__)


class CosmosDeletion:
    """Deletes threads, and finds those that may go.

    A thread is marked, hidden from the list, emptied, taken from the list, and its document goes last: while that is there,
    the deletion can be taken up again.
    """

    def __init__(self, messages: CosmosContainer, threads: CosmosContainer) -> None:
        self._messages = messages
        self._threads = threads

    async def delete(self, owner: Owner, thread_id: str, idle_since: datetime | None) -> bool:
        """Do what :meth:`ThreadStore.delete_thread` promises."""
        if idle_since is None:
            await self._mark(owner, thread_id)
        elif not await self._mark_if_idle(owner, thread_id, idle_since):
            return False
        await self._hide_row(owner, thread_id)
        await self._delete_contents(thread_id)
        await self._threads.delete(owner.hash, thread_id)
        await self._delete_document(thread_id)
        return True

    async def erase(self, owner: Owner, thread_id: str, count: Operation) -> None:
        """Delete a thread that has a row, or what is left of it; ``count`` is done with the row's deletion, or not at all."""
        try:
            await self._mark(owner, thread_id)
        except ThreadNotFound:
            logger.info("thread %s has a row only", thread_id)
        await self._delete_contents(thread_id)
        try:
            await self._threads.batch(owner.hash, [delete(thread_id), count])
        except Refused:
            logger.info("thread %s is being erased by another process too", thread_id)
        await self._delete_document(thread_id)

    async def finish(self, thread_id: str) -> None:
        """Complete a deletion that was stopped when the thread's row had gone already."""
        await self._delete_contents(thread_id)
        await self._delete_document(thread_id)

    async def idle(self, since: datetime, limit: int) -> list[Owned]:
        """Do what :meth:`ThreadStore.idle_threads` promises."""
        moments = {STOPPED: utcnow() - STOPPED_AFTER, IDLE: since}
        found: dict[str, Owned] = {}
        for sql, moment in moments.items():
            rows = await self._messages.query_everywhere(sql, limit=limit, moment=int(moment.timestamp()))
            found.update({row["id"]: Owned(Owner(row["tenant"], row["user"]), row["id"]) for row in rows})
        return list(found.values())[:limit]

    async def _mark(self, owner: Owner, thread_id: str) -> None:
        marked = thread_changes(deleting=True, lease=None)
        try:
            await self._messages.patch(thread_id, thread_id, marked, condition(owner_hash=owner.hash))
        except Refused as refused:
            raise ThreadNotFound(thread_id) from refused

    async def _mark_if_idle(self, owner: Owner, thread_id: str, since: datetime) -> bool:
        document = await self._read(owner, thread_id)
        if document.deleting:
            return True
        unchanged = _idle_condition(document, since)
        if unchanged is None:
            return False
        try:
            await self._messages.patch(thread_id, thread_id, thread_changes(deleting=True, lease=None), unchanged)
        except Refused:
            # Somebody was quicker, or it was us, and the answer was lost.
            return (await self._read(owner, thread_id)).deleting
        return True

    async def _read(self, owner: Owner, thread_id: str) -> ThreadDocument:
        found = await self._messages.read(thread_id, thread_id)
        document = ThreadDocument.model_validate(found) if found else None
        if document is None or document.owner_hash != owner.hash:
            raise ThreadNotFound(thread_id)
        return document

    async def _hide_row(self, owner: Owner, thread_id: str) -> None:
        try:
            await self._threads.patch(owner.hash, thread_id, changes(deleting=True))
        except Refused:
            logger.info("thread %s has no row any more", thread_id)

    async def _delete_contents(self, thread_id: str) -> None:
        while rows := await self._messages.query(thread_id, CONTENTS):
            await self._delete_some(thread_id, [row["id"] for row in rows])

    async def _delete_some(self, thread_id: str, ids: Sequence[str]) -> None:
        try:
            await self._messages.batch(thread_id, [delete(id) for id in ids])
        except Refused:
            # Somebody else deletes the same thread and was quicker, or events have expired: the next query shows what is left.
            logger.info("thread %s is being deleted by another call too", thread_id)

    async def _delete_document(self, thread_id: str) -> None:
        await self._messages.delete(thread_id, thread_id)
        # Events that came while the thread was still there; later ones are refused.
        await self._delete_contents(thread_id)


def _idle_condition(document: ThreadDocument, since: datetime) -> str | None:
    """Return the condition that an idle thread has not changed since it was read; ``None`` for one that is not idle."""
    latest = min(since, utcnow()).timestamp()
    if document.updated_at >= since or (document.lease and document.lease.until >= latest):
        return None
    # Every change but the renewal of a lease raises `rev`.
    if document.lease is None:
        return condition(deleting=False, rev=document.rev, lease=None)
    return condition(deleting=False, rev=document.rev, lease__turn_id=document.lease.turn_id) + less_than("lease.until", latest)
