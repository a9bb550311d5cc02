"""The thread store on Azure Cosmos DB: one partition per thread, one per owner's list of threads.

A thread's document, its messages and its Idempotency-Keys share a partition, so that a turn is one atomic batch. The list of
an owner's threads is a second container; a row there follows its thread and may lag behind it, but it never goes back in time
and never comes back to life.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from azure.core.credentials_async import AsyncTokenCredential
from typing_extensions import override

from calls import Decider, ToolCall
from models import (
    Erasure,
    Feedback,
    Message,
    Metadata,
    Order,
    Owner,
    Thread,
    ThreadStatus,
    Turn,
    UserState,
)
from stores.contract import ThreadStore
from stores.cosmos.connection import connect
from stores.cosmos.container import CosmosContainer, gather_pair
from stores.cosmos.definitions import MESSAGES, THREADS
from stores.cosmos.history import CosmosHistory
from stores.cosmos.parts import CosmosParts
from stores.cosmos.recent import RecentMessages
from stores.cosmos.retries import RetryPolicy
from stores.cosmos.rows import ROW_SECONDS
from stores.cosmos.shared_recent import SharedRecent
from stores.cosmos.threads import check_thread_id
from stores.cosmos.turn_requests import Request
from stores.limits import StoreLimits
from stores.types import (
    Approval,
    AuthorFeedback,
    ErasedExchanges,
    EventBatch,
    NewContinuation,
    NewMessage,
    NewTurn,
    OwnedRef,
    Page,
    ReplayedTurn,
    StartedTurn,
    ThreadChanges,
    TurnEnd,
    TurnProgress,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis

PING_ID = "ping"


class CosmosStore(ThreadStore):
    """:class:`ThreadStore` in a database of a Cosmos DB account.

    The ``credential`` is a key, with which the database and the containers are created if they are missing, or an identity,
    which cannot create them. ``cache_bytes`` is how much memory the latest messages of threads may take here;
    they are shared on ``redis``.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        database: str,
        credential: str | AsyncTokenCredential,
        limits: StoreLimits = StoreLimits(),  # noqa: B008 - immutable
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
        row_seconds: float = ROW_SECONDS,
        cache_bytes: int = 0,
        redis: Redis | None = None,
    ) -> None:
        self._limits = limits
        self._retries = retries
        self._row_seconds = row_seconds
        self._recent = RecentMessages(cache_bytes)
        self._shared = SharedRecent(redis)
        self._connection = connect(endpoint, database=database, credential=credential, retries=retries)
        self._resources = AsyncExitStack()
        self._containers: tuple[CosmosContainer, CosmosContainer]
        self._parts: CosmosParts

    @override
    async def __aenter__(self) -> Self:
        opened = await self._resources.enter_async_context(self._connection)
        messages = CosmosContainer(opened[MESSAGES.id], self._retries)
        threads = CosmosContainer(opened[THREADS.id], self._retries)
        self._containers = messages, threads
        self._parts = CosmosParts(
            messages, threads, CosmosHistory(messages, self._recent, self._shared), self._limits, self._row_seconds
        )
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._parts.rows.aclose()
        await self._shared.aclose()
        await self._resources.aclose()

    @override
    async def ping(self) -> None:
        # Point reads of documents that do not exist: the cheapest requests that need the data, 1 RU each.
        messages, threads = self._containers
        await gather_pair(messages.read(PING_ID, PING_ID), threads.read(PING_ID, PING_ID))

    @override
    async def create_thread(self, owner: Owner, *, title: str | None, metadata: Metadata) -> Thread:
        return await self._parts.threads.create(owner, title, metadata)

    @override
    async def open_session_thread(self, owner: Owner, external_id: str) -> Thread:
        return await self._parts.sessions.open(owner, external_id)

    @override
    async def get_thread(self, owner: Owner, thread_id: str) -> Thread:
        return await self._parts.threads.get(owner, thread_id)

    @override
    async def list_threads(
        self, owner: Owner, *, status: ThreadStatus | None, open: bool | None = None, limit: int, cursor: str | None
    ) -> Page[Thread]:
        return await self._parts.threads.list_page(owner, status, open, limit, cursor)

    @override
    async def update_thread(self, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
        return await self._parts.threads.update(owner, thread_id, changes)

    @override
    async def list_thread_ids(self, owner: Owner, *, limit: int, after: str | None) -> list[str]:
        return await self._parts.threads.list_ids(owner, limit, after)

    @override
    async def delete_thread(self, owner: Owner, thread_id: str, *, idle_since: datetime | None = None) -> bool:
        check_thread_id(thread_id)
        return await self._parts.deletion.delete(owner, thread_id, idle_since)

    @override
    async def list_messages(
        self, owner: Owner, thread_id: str, *, limit: int, after: int | None, before: int | None, order: Order
    ) -> Page[Message]:
        return await self._parts.messages.list_page(owner, thread_id, limit, after, before, order)

    @override
    async def list_turns(self, owner: Owner, thread_id: str, *, limit: int, after: str | None) -> list[Turn]:
        check_thread_id(thread_id)
        return await self._parts.progress.list_turns(owner, thread_id, limit, after)

    @override
    async def begin_turn(
        self, owner: Owner, thread_id: str, new: NewMessage, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        check_thread_id(thread_id)
        return await self._parts.turns.begin(Request(owner, thread_id, new, lease_seconds), history_limit)

    @override
    async def begin_continuation(
        self, owner: Owner, thread_id: str, new: NewContinuation, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        check_thread_id(thread_id)
        return await self._parts.continuations.begin(Request(owner, thread_id, new, lease_seconds), history_limit)

    @override
    async def cancel_paused(self, owner: Owner, thread_id: str, turn_id: str, by: Decider) -> None:
        check_thread_id(thread_id)
        await self._parts.pauses.cancel(owner, thread_id, turn_id, by)

    @override
    async def list_approvals(self, owner: Owner, thread_id: str) -> list[Approval]:
        check_thread_id(thread_id)
        return await self._parts.pauses.list_approvals(owner, thread_id)

    @override
    async def remove_approvals(self, owner: Owner, thread_id: str) -> None:
        check_thread_id(thread_id)
        await self._parts.pauses.remove_approvals(owner, thread_id)

    @override
    async def record_calls(self, turn: StartedTurn, calls: Sequence[ToolCall]) -> None:
        await self._parts.commits.record_calls(turn, calls)

    @override
    async def find_replay(self, owner: Owner, thread_id: str, new: NewTurn) -> ReplayedTurn | None:
        check_thread_id(thread_id)
        return await self._parts.turns.find_replay(Request(owner, thread_id, new, 0))

    @override
    async def renew_lease(self, turn: StartedTurn, *, lease_seconds: float) -> None:
        await self._parts.commits.renew(turn, lease_seconds)

    @override
    async def commit_turn(self, turn: StartedTurn, end: TurnEnd) -> None:
        await self._parts.commits.commit(turn, end)

    @override
    async def request_cancel(self, owner: Owner, thread_id: str, turn_id: str) -> None:
        check_thread_id(thread_id)
        await self._parts.progress.request_cancel(owner, thread_id, turn_id)

    @override
    async def is_cancel_requested(self, turn: StartedTurn) -> bool:
        return await self._parts.progress.is_cancel_requested(turn)

    @override
    async def save_events(self, batches: Sequence[EventBatch]) -> list[Exception | None]:
        return await self._parts.progress.save_events(batches)

    @override
    async def get_progress(self, owner: Owner, thread_id: str, turn_id: str, *, after: int | None) -> TurnProgress:
        check_thread_id(thread_id)
        return await self._parts.progress.get(owner, thread_id, turn_id, after)

    @override
    async def set_feedback(self, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
        check_thread_id(thread_id)
        return await self._parts.feedback.set(owner, thread_id, message_id, feedback)

    @override
    async def set_author_feedback(
        self, owner: Owner, thread_id: str, message_id: str, author_id: str, feedback: Feedback
    ) -> bool:
        check_thread_id(thread_id)
        return await self._parts.feedback.set_of_author(owner, thread_id, message_id, author_id, feedback)

    @override
    async def get_user_state(self, owner: Owner) -> UserState:
        return await self._parts.user_states.get(owner)

    @override
    async def put_user_state(self, owner: Owner, state: UserState) -> UserState:
        return await self._parts.user_states.put(owner, state)

    @override
    async def begin_erasure(self, owner: Owner) -> Erasure:
        return await self._parts.erasures.begin(owner)

    @override
    async def get_erasure(self, owner: Owner, erasure_id: str) -> Erasure:
        return await self._parts.erasures.get(owner, erasure_id)

    @override
    async def erase_threads(self, owner: Owner, erasure_id: str, *, limit: int) -> bool:
        return await self._parts.erasures.erase(owner, erasure_id, limit)

    @override
    async def complete_erasure(self, owner: Owner, erasure_id: str) -> bool:
        return await self._parts.erasures.complete(owner, erasure_id)

    @override
    async def abandoned_erasures(self, *, stale_since: datetime) -> list[OwnedRef]:
        return await self._parts.erasures.abandoned(stale_since)

    @override
    async def threads_of_author(self, author_id: str) -> list[OwnedRef]:
        return await self._parts.authors.threads(author_id)

    @override
    async def list_author_feedback(self, owner: Owner, thread_id: str, author_id: str) -> list[AuthorFeedback]:
        check_thread_id(thread_id)
        return await self._parts.feedback.list_of_author(owner, thread_id, author_id)

    @override
    async def erase_exchanges(self, owner: Owner, thread_id: str, author_id: str) -> ErasedExchanges:
        check_thread_id(thread_id)
        return await self._parts.authors.erase(owner, thread_id, author_id)

    @override
    async def threads_of_team(self, tenant: str, team_key: str) -> list[OwnedRef]:
        return await self._parts.deletion.of_team(tenant, team_key)

    @override
    async def idle_threads(self, *, since: datetime, limit: int, conversations: bool | None = None) -> list[OwnedRef]:
        return await self._parts.deletion.idle(since, limit, conversations)
