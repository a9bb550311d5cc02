"""Threads for session ids of their owners, in Cosmos DB: found by an id that follows from owner and session id."""

from __future__ import annotations

from errors import RateLimited, StoreUnavailable, ThreadDeleting
from models import Owner, Thread, new_session_thread, session_thread_id
from stores.cosmos.container import CosmosContainer
from stores.cosmos.deletion import CosmosDeletion, is_stopped
from stores.cosmos.documents import ThreadDocument
from stores.cosmos.reading import as_record
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.cosmos.rows import CosmosRows
from stores.cosmos.threads import CosmosThreads


class CosmosSessionThreads:
    """Opens them. A deletion of one that was stopped half-way is completed first: nobody else may come to do it for an hour."""

    def __init__(self, messages: CosmosContainer, threads: CosmosThreads, rows: CosmosRows, deletion: CosmosDeletion) -> None:
        self._messages = messages
        self._threads = threads
        self._rows = rows
        self._deletion = deletion

    async def open(self, owner: Owner, external_id: str) -> Thread:
        """Do what :meth:`ThreadStore.open_session_thread` promises."""
        thread_id = session_thread_id(owner, external_id)
        for _ in range(MAX_ATTEMPTS):
            found = await self._messages.read(thread_id, thread_id)
            if found is None:
                try:
                    await self._threads.store(owner, new_session_thread(owner, external_id))
                except RateLimited:
                    # One that another instance has just made is not new, although this replica does not have it yet.
                    if await self._messages.find(thread_id, thread_id) is None:
                        raise
            elif not (document := as_record(ThreadDocument, found)).deleting:
                if not document.last_seq:
                    # Whoever made it may have been stopped, or refused, before it was on the list.
                    await self._rows.add(document)
                return document.thread
            elif is_stopped(found):
                await self._deletion.finish(document)
            else:
                raise ThreadDeleting(thread_id)
        raise StoreUnavailable
