"""Threads in Cosmos DB: each one's document beside its messages, and its row in the owner's list."""

from __future__ import annotations

import re

from errors import ThreadNotFound
from models import THREAD_ID_PATTERN, Metadata, Owner, Thread, ThreadStatus, new_thread, utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed, gather_pair
from stores.cosmos.documents import Document, ThreadDocument, new_thread_document
from stores.cosmos.patch import condition, thread_changes
from stores.cosmos.reading import as_record, require_owned
from stores.cosmos.rows import CosmosRows
from stores.cursors import decode_cursor, encode_cursor
from stores.limits import StoreLimits
from stores.types import Page, ThreadChanges

COUNT = "SELECT VALUE COUNT(1) FROM c WHERE c.deleting = false"
IDS = "SELECT TOP @limit c.id FROM c WHERE c.deleting = false AND c.id > @after ORDER BY c.id"


def check_thread_id(thread_id: str) -> None:
    """Spare the account a request for an id that no thread can have.

    :raises ThreadNotFound: if this is one.
    """
    if not re.fullmatch(THREAD_ID_PATTERN, thread_id):
        raise ThreadNotFound(thread_id)


class CosmosThreads:
    """Reads and writes threads, with their rows."""

    def __init__(self, messages: CosmosContainer, threads: CosmosContainer, rows: CosmosRows, limits: StoreLimits) -> None:
        self._limits = limits
        self._messages = messages
        self._threads = threads
        self._rows = rows

    async def create(self, owner: Owner, title: str | None, metadata: Metadata) -> Thread:
        """Do what :meth:`ThreadStore.create_thread` promises."""
        thread = new_thread(title=title, metadata=metadata)
        await self.store(owner, thread)
        return thread

    async def store(self, owner: Owner, thread: Thread) -> None:
        """Store a new thread and its row; what is there already stays as it is.

        :raises RateLimited: if the owner has as many as there may be.
        """
        if self._limits.threads:
            self._limits.check_threads(await self._threads.count(owner.hash, COUNT))
        document = new_thread_document(owner, thread)
        await self._messages.create(thread.id, document)
        await self._rows.add(as_record(ThreadDocument, document))

    async def document(self, owner: Owner, thread_id: str) -> ThreadDocument:
        """Return a thread's document.

        :raises ThreadNotFound: if the owner has no such thread.
        """
        check_thread_id(thread_id)
        return require_owned(owner, thread_id, await self._messages.find(thread_id, thread_id))

    async def get(self, owner: Owner, thread_id: str) -> Thread:
        """Do what :meth:`ThreadStore.get_thread` promises."""
        thread, row = await gather_pair(self.document(owner, thread_id), self._threads.read(owner.hash, thread_id))
        if row and row["rev"] < thread.rev:
            # Its process died before it could bring the row up to date, or could not.
            self._rows.update_later(thread)
        return thread.thread

    async def list_page(
        self, owner: Owner, status: ThreadStatus | None, open: bool | None, limit: int, cursor: str | None
    ) -> Page[Thread]:
        """Do what :meth:`ThreadStore.list_threads` promises."""
        sql = "SELECT TOP @limit * FROM c WHERE c.deleting = false"
        parameters: dict[str, str] = {}
        if status:
            sql, parameters["status"] = f"{sql} AND c.status = @status", status
        if open is not None:
            sql = f"{sql} AND {'' if open else 'NOT '}IS_DEFINED(c.open.turn_id)"
        if cursor:
            sql, parameters["sort"] = f"{sql} AND c.sort < @sort", decode_cursor(cursor)
        await self._rows.flush(owner.hash)
        rows = await self._threads.query(owner.hash, f"{sql} ORDER BY c.sort DESC", limit=limit + 1, **parameters)
        page = [_listed(row) for row in rows[:limit]]
        return Page(page, encode_cursor(rows[limit - 1]["sort"]) if len(rows) > limit else None)

    async def list_ids(self, owner: Owner, limit: int, after: str | None) -> list[str]:
        """Do what :meth:`ThreadStore.list_thread_ids` promises."""
        rows = await self._threads.query(owner.hash, IDS, limit=limit, after=after or "")
        return [row["id"] for row in rows]

    async def update(self, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
        """Do what :meth:`ThreadStore.update_thread` promises."""
        check_thread_id(thread_id)
        mine = condition(owner_hash=owner.hash, deleting=False)
        try:
            changed = thread_changes(**changes, updated_at=utcnow())
            document = as_record(ThreadDocument, await self._messages.patch(thread_id, thread_id, changed, mine))
        except PreconditionFailed as refused:
            raise ThreadNotFound(thread_id) from refused
        await self._rows.update(document)
        return document.thread


def _listed(row: Document) -> Thread:
    """Return the thread in its row."""
    return as_record(Thread, {**row, "open_turn_id": (row.get("open") or {}).get("turn_id")})
