"""The thread store on Azure Cosmos DB: one partition per thread, one per owner's list of threads.

A thread's document, its messages and its Idempotency-Keys share a partition, so that a turn is one atomic batch. The list of
an owner's threads is a second container; a row there follows its thread and may lag behind it, but it never goes back in time
and never comes back to life.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

from typing_extensions import override

from errors import ChatError, StoreUnavailable, ThreadNotFound
from events import EventBatch, TurnProgress
from models import (
    THREAD_ID_PATTERN,
    Erasure,
    Feedback,
    Message,
    Metadata,
    NewMessage,
    Order,
    Owned,
    Owner,
    Page,
    ReplayedTurn,
    StartedTurn,
    Thread,
    ThreadChanges,
    ThreadStatus,
    Turn,
    UserState,
    new_thread,
    utcnow,
)
from stores.contract import ThreadStore, decode_cursor, encode_cursor
from stores.cosmos.connection import connect
from stores.cosmos.container import CosmosContainer, Refused, together
from stores.cosmos.deletion import CosmosDeletion
from stores.cosmos.documents import MESSAGES, THREADS, ThreadDocument, new_thread_document, row_document, the_owners
from stores.cosmos.erasure import CosmosErasures
from stores.cosmos.feedback import CosmosFeedback
from stores.cosmos.patch import condition, less_than, row_changes, thread_changes
from stores.cosmos.progress import CosmosProgress
from stores.cosmos.turns import CosmosTurns, Request
from stores.cosmos.user_states import CosmosUserStates

T = TypeVar("T")
logger = logging.getLogger(__name__)

LOOKS = 8
PING_ID = "ping"
IDS = "SELECT TOP @limit c.id FROM c WHERE c.deleting = false AND c.id > @after ORDER BY c.id"


class CosmosStore(ThreadStore):
    """:class:`store.ThreadStore` in a database of a Cosmos DB account.

    With a ``key`` the database and the containers are created if they are missing. Without one, the process's managed
    identity (or whoever is signed in on this machine) is used, which cannot create them.
    """

    def __init__(self, endpoint: str, *, database: str, key: str | None) -> None:
        self._connection = connect(endpoint, database=database, key=key)
        self._resources = AsyncExitStack()
        self._background: set[asyncio.Task[None]] = set()
        self._messages: CosmosContainer
        self._threads: CosmosContainer
        self._turns: CosmosTurns
        self._progress: CosmosProgress
        self._feedback: CosmosFeedback
        self._user_states: CosmosUserStates
        self._deletion: CosmosDeletion
        self._erasures: CosmosErasures

    @override
    async def __aenter__(self) -> Self:
        containers = await self._resources.enter_async_context(self._connection)
        self._messages = CosmosContainer(containers[MESSAGES.id])
        self._threads = CosmosContainer(containers[THREADS.id])
        self._turns = CosmosTurns(self._messages, self._refresh_row_later)
        self._progress = CosmosProgress(self._messages, self._turns.end_expired)
        self._feedback = CosmosFeedback(self._messages)
        self._user_states = CosmosUserStates(self._threads)
        self._deletion = CosmosDeletion(self._messages, self._threads)
        self._erasures = CosmosErasures(self._messages, self._threads, self._deletion)
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._background)
        await self._resources.aclose()

    @override
    async def ping(self) -> None:
        # Point reads of documents that do not exist: the cheapest requests that need the data, 1 RU each.
        await together(self._messages.read(PING_ID, PING_ID), self._threads.read(PING_ID, PING_ID))

    @override
    async def create_thread(self, owner: Owner, *, title: str | None, metadata: Metadata) -> Thread:
        thread = new_thread(title=title, metadata=metadata)
        document = new_thread_document(owner, thread)
        await self._messages.create(thread.id, document)
        await self._threads.create(owner.hash, row_document(ThreadDocument.model_validate(document)))
        return thread

    @override
    async def get_thread(self, owner: Owner, thread_id: str) -> Thread:
        thread, row = await together(self._thread(owner, thread_id), self._threads.read(owner.hash, thread_id))
        if row and row["rev"] < thread.rev:
            # Its process died before it could bring the row up to date, or could not.
            self._refresh_row_later(thread)
        return thread.thread

    @override
    async def list_threads(self, owner: Owner, *, status: ThreadStatus | None, limit: int, cursor: str | None) -> Page[Thread]:
        sql = "SELECT TOP @limit * FROM c WHERE c.deleting = false"
        parameters: dict[str, str] = {}
        if status:
            sql, parameters["status"] = f"{sql} AND c.status = @status", status
        if cursor:
            sql, parameters["sort"] = f"{sql} AND c.sort < @sort", decode_cursor(cursor)
        rows = await self._threads.query(owner.hash, f"{sql} ORDER BY c.sort DESC", limit=limit + 1, **parameters)
        page = rows[:limit]
        return Page(
            [Thread.model_validate(row) for row in page], encode_cursor(page[-1]["sort"]) if len(rows) > limit else None
        )

    @override
    async def update_thread(self, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
        _check_id(thread_id)
        mine = condition(owner_hash=owner.hash, deleting=False)
        try:
            changed = thread_changes(**changes, updated_at=utcnow())
            document = ThreadDocument.model_validate(await self._messages.patch(thread_id, thread_id, changed, mine))
        except Refused as refused:
            raise ThreadNotFound(thread_id) from refused
        await self._refresh_row(document)
        return document.thread

    @override
    async def list_thread_ids(self, owner: Owner, *, limit: int, after: str | None) -> list[str]:
        rows = await self._threads.query(owner.hash, IDS, limit=limit, after=after or "")
        return [row["id"] for row in rows]

    @override
    async def delete_thread(self, owner: Owner, thread_id: str, *, idle_since: datetime | None = None) -> bool:
        _check_id(thread_id)
        return await self._deletion.delete(owner, thread_id, idle_since)

    @override
    async def list_messages(
        self, owner: Owner, thread_id: str, *, limit: int, after: int | None, before: int | None, order: Order
    ) -> Page[Message]:
        for _ in range(LOOKS):
            thread, messages = await together(
                self._thread(owner, thread_id), self._stored_messages(thread_id, limit + 1, after, before, order)
            )
            if [message.seq for message in messages] == _in_order(_stored(thread, after, before), order)[: limit + 1]:
                return _message_page(thread, messages, limit, after, before, order)
            # A turn was committed between the two reads, or a replica lags: both read again, in the newer one's session.
        raise StoreUnavailable

    @override
    async def list_turns(self, owner: Owner, thread_id: str, *, limit: int, after: str | None) -> list[Turn]:
        _check_id(thread_id)
        return await self._progress.list_turns(owner, thread_id, limit, after)

    @override
    async def begin_turn(
        self, owner: Owner, thread_id: str, new: NewMessage, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        _check_id(thread_id)
        return await self._turns.begin(Request(owner, thread_id, new, lease_seconds), history_limit)

    @override
    async def renew_lease(self, turn: StartedTurn, *, lease_seconds: float) -> None:
        await self._turns.renew(turn, lease_seconds)

    @override
    async def commit_turn(self, turn: StartedTurn, *, message: Message, reply: Message | None, final_event_id: int) -> None:
        await self._turns.commit(turn, message, reply, final_event_id)

    @override
    async def request_cancel(self, owner: Owner, thread_id: str, turn_id: str) -> None:
        _check_id(thread_id)
        await self._progress.request_cancel(owner, thread_id, turn_id)

    @override
    async def is_cancel_requested(self, turn: StartedTurn) -> bool:
        return await self._progress.is_cancel_requested(turn)

    @override
    async def save_events(self, batches: Sequence[EventBatch]) -> None:
        await self._progress.save_events(batches)

    @override
    async def get_progress(self, owner: Owner, thread_id: str, turn_id: str, *, after: int | None) -> TurnProgress:
        _check_id(thread_id)
        return await self._progress.get(owner, thread_id, turn_id, after)

    @override
    async def set_feedback(self, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
        _check_id(thread_id)
        return await self._feedback.set(owner, thread_id, message_id, feedback)

    @override
    async def get_user_state(self, owner: Owner) -> UserState:
        return await self._user_states.get(owner)

    @override
    async def put_user_state(self, owner: Owner, state: UserState) -> UserState:
        return await self._user_states.put(owner, state)

    @override
    async def begin_erasure(self, owner: Owner) -> Erasure:
        return await self._erasures.begin(owner)

    @override
    async def get_erasure(self, owner: Owner, erasure_id: str) -> Erasure:
        return await self._erasures.get(owner, erasure_id)

    @override
    async def erase_threads(self, owner: Owner, erasure_id: str, *, limit: int) -> bool:
        return await self._erasures.erase(owner, erasure_id, limit)

    @override
    async def complete_erasure(self, owner: Owner, erasure_id: str) -> bool:
        return await self._erasures.complete(owner, erasure_id)

    @override
    async def abandoned_erasures(self, *, silent_since: datetime) -> list[Owned]:
        return await self._erasures.abandoned(silent_since)

    @override
    async def idle_threads(self, *, since: datetime, limit: int) -> list[Owned]:
        return await self._deletion.idle(since, limit)

    async def _thread(self, owner: Owner, thread_id: str) -> ThreadDocument:
        _check_id(thread_id)
        found = await self._messages.read(thread_id, thread_id)
        return the_owners(owner, thread_id, found)

    async def _stored_messages(
        self, thread_id: str, limit: int, after: int | None, before: int | None, order: Order
    ) -> list[Message]:
        sql, parameters = "SELECT TOP @limit * FROM c WHERE c.type = 'message'", {"limit": limit}
        if after is not None:
            sql, parameters["after"] = f"{sql} AND c.seq > @after", after
        if before is not None:
            sql, parameters["before"] = f"{sql} AND c.seq < @before", before
        rows = await self._messages.query(thread_id, f"{sql} ORDER BY c.seq {order.upper()}", **parameters)
        return [Message.model_validate(row) for row in rows]

    async def _refresh_row(self, document: ThreadDocument) -> None:
        older = condition(deleting=False) + less_than("rev", document.rev)
        try:
            await self._threads.patch(document.owner_hash, document.id, row_changes(document), older)
        except Refused:
            logger.debug("row of thread %s is newer already, or gone", document.id)

    def _refresh_row_later(self, document: ThreadDocument) -> None:
        async def refresh() -> None:
            try:
                await self._refresh_row(document)
            except ChatError:
                logger.exception("row of thread %s is not up to date", document.id)

        task = asyncio.create_task(refresh())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _check_id(thread_id: str) -> None:
    if not re.match(THREAD_ID_PATTERN, thread_id):
        raise ThreadNotFound(thread_id)


def _stored(thread: ThreadDocument, after: int | None, before: int | None) -> list[int]:
    """Return where the messages in the asked range that are documents stand, without the one in the lease."""
    end = thread.last_seq + 1
    return list(range((after or 0) + 1, end if before is None else min(before, end)))


def _in_order(items: list[T], order: Order) -> list[T]:
    return items if order == "asc" else items[::-1]


def _message_page(
    thread: ThreadDocument, stored: list[Message], limit: int, after: int | None, before: int | None, order: Order
) -> Page[Message]:
    messages = [thread.as_shown(message) for message in stored]
    pending = thread.pending
    if pending and pending.seq > (after or 0) and (before is None or pending.seq < before):
        messages = [*messages, pending] if order == "asc" else [pending, *messages]
    page = messages[:limit]
    return Page(page, page[-1].id if len(messages) > limit else None)
