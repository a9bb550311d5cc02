"""Messages in Cosmos DB: a page of a thread's, with the one that is being answered, which is in the thread's lease."""

from __future__ import annotations

from typing import TypeVar

from errors import StoreUnavailable
from models import Message, Order, Owner
from stores.cosmos.container import CosmosContainer, gather_pair
from stores.cosmos.definitions import kind
from stores.cosmos.documents import ThreadDocument
from stores.cosmos.reading import as_record
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.cosmos.threads import CosmosThreads
from stores.types import Page

T = TypeVar("T")
STORED = f"SELECT TOP @limit * FROM c WHERE {kind('msg')}"  # noqa: S608 - our own text


class CosmosMessages:
    """Reads messages."""

    def __init__(self, messages: CosmosContainer, threads: CosmosThreads) -> None:
        self._messages = messages
        self._threads = threads

    async def list_page(
        self, owner: Owner, thread_id: str, limit: int, after: int | None, before: int | None, order: Order
    ) -> Page[Message]:
        """Do what :meth:`ThreadStore.list_messages` promises."""
        for _ in range(MAX_ATTEMPTS):
            thread, messages = await gather_pair(
                self._threads.document(owner, thread_id), self._stored(thread_id, limit + 1, after, before, order)
            )
            if [message.seq for message in messages] == _in_order(_stored_seqs(thread, after, before), order)[: limit + 1]:
                return _page(thread, messages, limit, after, before, order)
            # A turn was committed between the two reads, or a replica lags: both read again, in the newer one's session.
        raise StoreUnavailable

    async def _stored(self, thread_id: str, limit: int, after: int | None, before: int | None, order: Order) -> list[Message]:
        sql, parameters = STORED, {"limit": limit}
        if after is not None:
            sql, parameters["after"] = f"{sql} AND c.seq > @after", after
        if before is not None:
            sql, parameters["before"] = f"{sql} AND c.seq < @before", before
        rows = await self._messages.query(thread_id, f"{sql} ORDER BY c.seq {order.upper()}", **parameters)
        return [as_record(Message, row) for row in rows]


def _stored_seqs(thread: ThreadDocument, after: int | None, before: int | None) -> list[int]:
    """Return where the messages in the asked range that are documents stand, without the one in the lease."""
    end = thread.last_seq + 1
    return list(range((after or 0) + 1, end if before is None else min(before, end)))


def _in_order(items: list[T], order: Order) -> list[T]:
    return items if order == "asc" else items[::-1]


def _page(
    thread: ThreadDocument, stored: list[Message], limit: int, after: int | None, before: int | None, order: Order
) -> Page[Message]:
    messages = [thread.public_view(message) for message in stored]
    pending = thread.pending
    if pending and pending.seq > (after or 0) and (before is None or pending.seq < before):
        messages = [*messages, pending] if order == "asc" else [pending, *messages]
    page = messages[:limit]
    return Page(page, page[-1].id if len(messages) > limit else None)
