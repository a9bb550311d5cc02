"""Deleting threads in Cosmos DB: step by step, in an order in which a deletion that was stopped can be found and completed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import product

from errors import ThreadFull, ThreadNotFound
from models import CONVERSATIONS, Owner, utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed, TooLarge
from stores.cosmos.definitions import kind
from stores.cosmos.documents import Document, ThreadDocument
from stores.cosmos.history import CosmosHistory
from stores.cosmos.operations import Operation, delete, delete_unchanged, patch
from stores.cosmos.patch import changes, condition, less_than, of_incarnation, thread_changes
from stores.cosmos.reading import as_record
from stores.types import TEAM_KEY, OwnedRef

CONTENTS_BATCH = 50
# Whatever it is: a newer release may have added kinds of documents.
CONTENTS = f"SELECT TOP {CONTENTS_BATCH} c.id FROM c WHERE c.id != @thread"  # noqa: S608 - our own number
ALL_EVENTS = f"SELECT c.id FROM c WHERE {kind('events')}"  # noqa: S608 - our own text
EVENTS = f"SELECT TOP {CONTENTS_BATCH} c.id FROM c WHERE {kind('events')}"  # noqa: S608 - our own text and number
# By `_ts`, the time of the last write, which Cosmos DB keeps and indexes itself: a lease that is taken or renewed counts too.
STOPPED = "SELECT c.id, c.tenant, c.user FROM c WHERE c.marked = true AND c._ts < @moment"
IDLE = "SELECT c.id, c.tenant, c.user FROM c WHERE c._ts < @moment"
# Only threads have a tenant. Ranges, which the index answers: a semicolon comes right after the colon of `bot:`.
OWNERS: dict[bool | None, tuple[str, ...]] = {
    None: (" AND c.tenant >= ''",),
    True: (f" AND c.tenant >= '{CONVERSATIONS}' AND c.tenant < 'bot;'",),
    False: (f" AND c.tenant < '{CONVERSATIONS}'", " AND c.tenant >= 'bot;'"),
}
OF_TENANT = "SELECT c.id, c.tenant, c.user FROM c WHERE c.tenant = @tenant"
OF_TEAM = f"{OF_TENANT} AND c.metadata.{TEAM_KEY} = @team"
MAX_TEAM_THREADS = 1_000_000
STOPPED_AFTER = timedelta(minutes=1)
logger = logging.getLogger(__name__)


class CosmosDeletion:
    """Deletes threads, and finds those that may go.

    A thread is marked, hidden from the list, emptied, taken from the list, and its document goes last: while that is there,
    the deletion can be resumed. Any number of calls may be at it, and the slowest may come so late that the id is in use again:
    each write is tied to the thread as it was marked.
    """

    def __init__(self, messages: CosmosContainer, threads: CosmosContainer, history: CosmosHistory) -> None:
        self._history = history
        self._messages = messages
        self._threads = threads

    async def delete(self, owner: Owner, thread_id: str, idle_since: datetime | None) -> bool:
        """Do what :meth:`ThreadStore.delete_thread` promises."""
        marked = await (
            self._mark(owner, thread_id) if idle_since is None else self._mark_if_idle(owner, thread_id, idle_since)
        )
        if marked is None:
            return False
        await self.finish(marked)
        return True

    async def erase(self, owner: Owner, row: Document, count: Operation) -> None:
        """Delete a thread that has a row, or what is left of it; ``count`` is done with the row's deletion, or not at all."""
        try:
            marked = await self._mark(owner, row["id"])
        except ThreadNotFound:
            marked = None
            logger.info("thread %s has a list entry only", row["id"])
        if marked:
            await self._delete_contents(marked)
        try:
            await self._threads.batch(owner.hash, [delete_unchanged(row["id"], row["_etag"]), count])
        except PreconditionFailed:
            logger.info("the list entry of thread %s has changed, or another process erases it too", row["id"])
        if marked:
            await self._delete_document(marked)

    async def finish(self, marked: ThreadDocument) -> None:
        """Complete the deletion of a thread that is marked."""
        await self._hide_row(marked)
        await self._delete_contents(marked)
        await self._delete_row(marked)
        await self._delete_document(marked)

    async def delete_events(self, thread_id: str, *, running_turn: str | None) -> None:
        """Delete the events of a thread's turns, but of the one that runs."""
        while True:
            rows = await self._messages.query(thread_id, ALL_EVENTS)
            ids = [row["id"] for row in rows if not (running_turn and running_turn in row["id"])]
            if not ids:
                return
            # Some may have expired meanwhile: the next query shows what is left.
            with suppress(PreconditionFailed):
                await self._delete_at_once(thread_id, ids[:CONTENTS_BATCH])

    async def idle(self, since: datetime, limit: int, conversations: bool | None) -> list[OwnedRef]:
        """Do what :meth:`ThreadStore.idle_threads` promises."""
        moments = {STOPPED: utcnow() - STOPPED_AFTER, IDLE: since}
        found: dict[str, OwnedRef] = {}
        for (sql, moment), owners in product(moments.items(), OWNERS[conversations]):
            rows = await self._messages.query_everywhere(sql + owners, limit=limit, moment=int(moment.timestamp()))
            found.update({row["id"]: _owned_ref(row) for row in rows})
        return list(found.values())[:limit]

    async def of_team(self, tenant: str, team_key: str) -> list[OwnedRef]:
        """Do what :meth:`ThreadStore.threads_of_team` promises."""
        rows = await self._messages.query_everywhere(OF_TEAM, limit=MAX_TEAM_THREADS, tenant=tenant, team=team_key)
        return [_owned_ref(row) for row in rows]

    async def _mark(self, owner: Owner, thread_id: str) -> ThreadDocument:
        try:
            return await self._write_mark(owner, thread_id, condition(owner_hash=owner.hash))
        except PreconditionFailed as refused:
            raise ThreadNotFound(thread_id) from refused

    async def _write_mark(self, owner: Owner, thread_id: str, holds: str) -> ThreadDocument:
        """Mark a thread of the owner's. A partition that is full takes no write, but lets documents go: some go before."""
        marked = thread_changes(deleting=True, marked=True, lease=None)
        while True:
            try:
                return as_record(ThreadDocument, await self._messages.patch(thread_id, thread_id, marked, holds))
            except ThreadFull:
                await self._read(owner, thread_id)
                rows = await self._messages.query(thread_id, CONTENTS, thread=thread_id)
                if not rows:
                    raise
                with suppress(PreconditionFailed):
                    await self._delete_at_once(thread_id, [row["id"] for row in rows])

    async def _mark_if_idle(self, owner: Owner, thread_id: str, since: datetime) -> ThreadDocument | None:
        document = await self._read(owner, thread_id)
        if document.deleting:
            return document
        unchanged = _idle_condition(document, since)
        if unchanged is None:
            return None
        try:
            return await self._write_mark(owner, thread_id, unchanged)
        except PreconditionFailed:
            # Somebody was quicker, or it was us, and the answer was lost.
            document = await self._read(owner, thread_id)
            return document if document.deleting else None

    async def _read(self, owner: Owner, thread_id: str) -> ThreadDocument:
        found = await self._messages.read(thread_id, thread_id)
        document = as_record(ThreadDocument, found) if found else None
        if document is None or document.owner_hash != owner.hash:
            raise ThreadNotFound(thread_id)
        return document

    async def _hide_row(self, marked: ThreadDocument) -> None:
        try:
            await self._threads.patch(marked.owner_hash, marked.id, changes(deleting=True), of_incarnation(marked))
        except PreconditionFailed:
            logger.info("thread %s has no list entry any more", marked.id)

    async def _delete_row(self, marked: ThreadDocument) -> None:
        row = await self._threads.read(marked.owner_hash, marked.id)
        if row and row["created_at"] == marked.model_dump(mode="json")["created_at"]:
            with suppress(PreconditionFailed):
                await self._threads.batch(marked.owner_hash, [delete_unchanged(marked.id, row["_etag"])])

    async def _delete_contents(self, marked: ThreadDocument) -> None:
        await self._history.forget(marked.id)
        while rows := await self._messages.query(marked.id, CONTENTS, thread=marked.id):
            if not await self._delete_some(marked, [row["id"] for row in rows]):
                return

    async def _delete_some(self, marked: ThreadDocument, ids: Sequence[str]) -> bool:
        """Delete documents, if they are still the marked thread's; return whether there is more to look for."""
        still = patch(marked.id, changes(deleting=True), of_incarnation(marked, deleting=True))
        try:
            await self._delete_at_once(marked.id, ids, still)
        except PreconditionFailed:
            # Somebody else deletes the same thread and was quicker, or events have expired: the next query shows what is left.
            logger.info("thread %s is being deleted by another call too", marked.id)
            return await self._is_marked(marked)
        return True

    async def _delete_at_once(self, partition: str, ids: Sequence[str], *first: Operation) -> None:
        """Delete documents in one batch, each with ``first``, or in several where they are too large together."""
        try:
            await self._messages.batch(partition, [*first, *map(delete, ids)])
        except TooLarge:
            half = len(ids) // 2
            if not half:
                raise
            logger.info("%d documents are too large for one transaction, deleting them in two", len(ids))
            await self._delete_at_once(partition, ids[:half], *first)
            await self._delete_at_once(partition, ids[half:], *first)

    async def _is_marked(self, marked: ThreadDocument) -> bool:
        """Whether the deletion still runs: another call may have ended it, and the thread's id be in use again."""
        found = await self._messages.read(marked.id, marked.id)
        return found is not None and as_record(ThreadDocument, found).created_at == marked.created_at

    async def _delete_document(self, marked: ThreadDocument) -> None:
        while found := await self._messages.read(marked.id, marked.id):
            if as_record(ThreadDocument, found).created_at != marked.created_at:
                return
            try:
                await self._messages.batch(marked.id, [delete_unchanged(marked.id, found["_etag"])])
            except PreconditionFailed:
                logger.info("thread %s has changed while it is being deleted", marked.id)
        # Those that came while the thread was still there; later ones are refused.
        while rows := await self._messages.query(marked.id, EVENTS):
            with suppress(PreconditionFailed):
                await self._delete_at_once(marked.id, [row["id"] for row in rows])


def is_stopped(document: Document) -> bool:
    """Whether nobody has worked for a while on the deletion of the thread whose document this is, as it was read."""
    written: int = document["_ts"]
    return written < (utcnow() - STOPPED_AFTER).timestamp()


def _owned_ref(row: Document) -> OwnedRef:
    return OwnedRef(Owner(row["tenant"], row["user"]), row["id"])


def _idle_condition(document: ThreadDocument, since: datetime) -> str | None:
    """Return the condition that an idle thread has not changed since it was read; ``None`` for one that is not idle."""
    latest = min(since, utcnow()).timestamp()
    if document.updated_at >= since or (document.lease and document.lease.until >= latest):
        return None
    # Every change but the renewal of a lease raises `rev`.
    if document.lease is None:
        return condition(deleting=False, rev=document.rev, lease=None)
    return condition(deleting=False, rev=document.rev, lease__turn_id=document.lease.turn_id) + less_than("lease.until", latest)
