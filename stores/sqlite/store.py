"""The thread store on SQLite: one file, no server, safe with several processes on it.

Every method is one transaction. Writers take SQLite's write lock first, so what a transaction has read stays true until it
commits.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from typing_extensions import override

from calls import Decider, ToolCall
from errors import ThreadNotFound
from models import Erasure, Feedback, Message, Metadata, Order, Owner, Thread, ThreadStatus, Turn, UserState, session_thread_id
from stores.contract import ThreadStore
from stores.limits import StoreLimits
from stores.sqlite import authors, continuations, deletion, erasure, messages, progress, threads, turns, user_states
from stores.sqlite.database import LOCK_TIMEOUT_SECONDS, SqliteDatabase, Work
from stores.sqlite.feedback import list_author_feedback, set_author_feedback, set_feedback
from stores.sqlite.log_emptier import PAUSE_SECONDS, LogEmptier
from stores.sqlite.rows import as_thread, thread_row
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


class SqliteStore(ThreadStore):
    """:class:`ThreadStore` in the SQLite file ``path``; its folder is made if it is missing.

    What was deleted is gone from the write-ahead log, too, as soon as no other process is in the way: tried at once after a
    deletion, then every ``log_pause_seconds`` or up to half a minute, and at the end.
    """

    def __init__(
        self,
        path: Path,
        *,
        limits: StoreLimits = StoreLimits(),  # noqa: B008 - immutable
        log_pause_seconds: float = PAUSE_SECONDS,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        self._database = SqliteDatabase(path, lock_timeout_seconds=lock_timeout_seconds)
        self._log = LogEmptier(self._database, pause_seconds=log_pause_seconds)
        self._limits = limits

    @override
    async def __aenter__(self) -> Self:
        await self._database.open()
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._log.aclose()
        finally:
            await self._database.close()

    @override
    async def ping(self) -> None:
        await self._database.read(lambda db: db.execute("SELECT id FROM threads LIMIT 1").fetchone())

    @override
    async def create_thread(self, owner: Owner, *, title: str | None, metadata: Metadata) -> Thread:
        return await self._database.write(lambda db: threads.create_thread(db, owner, title, metadata, self._limits))

    @override
    async def open_session_thread(self, owner: Owner, external_id: str) -> Thread:
        try:
            return await self.get_thread(owner, session_thread_id(owner, external_id))
        except ThreadNotFound:
            return await self._database.write(lambda db: threads.open_session_thread(db, owner, external_id, self._limits))

    @override
    async def get_thread(self, owner: Owner, thread_id: str) -> Thread:
        return await self._database.read(lambda db: as_thread(thread_row(db, owner, thread_id)))

    @override
    async def list_threads(
        self, owner: Owner, *, status: ThreadStatus | None, open: bool | None = None, limit: int, cursor: str | None
    ) -> Page[Thread]:
        return await self._database.read(lambda db: threads.list_threads(db, owner, status, open, limit, cursor))

    @override
    async def update_thread(self, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
        return await self._database.write(lambda db: threads.update_thread(db, owner, thread_id, changes))

    @override
    async def list_thread_ids(self, owner: Owner, *, limit: int, after: str | None) -> list[str]:
        return await self._database.read(lambda db: threads.list_thread_ids(db, owner, limit, after))

    @override
    async def delete_thread(self, owner: Owner, thread_id: str, *, idle_since: datetime | None = None) -> bool:
        try:
            deleted = await self._database.write(lambda db: deletion.delete_thread(db, owner, thread_id, idle_since))
        except asyncio.CancelledError:
            # The deletion goes on without its caller.
            self._log.empty_soon()
            raise
        if deleted:
            self._log.empty_soon()
        return deleted

    @override
    async def list_messages(
        self, owner: Owner, thread_id: str, *, limit: int, after: int | None, before: int | None, order: Order
    ) -> Page[Message]:
        return await self._database.read(lambda db: messages.list_messages(db, owner, thread_id, limit, after, before, order))

    @override
    async def list_turns(self, owner: Owner, thread_id: str, *, limit: int, after: str | None) -> list[Turn]:
        return await self._database.read(lambda db: progress.list_turns(db, owner, thread_id, limit, after))

    @override
    async def begin_turn(
        self, owner: Owner, thread_id: str, new: NewMessage, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        return await self._begin(
            lambda db: turns.begin_turn(db, owner, thread_id, new, lease_seconds, history_limit, self._limits)
        )

    @override
    async def begin_continuation(
        self, owner: Owner, thread_id: str, new: NewContinuation, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        return await self._begin(
            lambda db: continuations.begin_continuation(db, owner, thread_id, new, lease_seconds, history_limit)
        )

    async def _begin(self, work: Work[StartedTurn | ReplayedTurn]) -> StartedTurn | ReplayedTurn:
        is_wanted = True

        def begin(db: sqlite3.Connection) -> StartedTurn | ReplayedTurn:
            begun = work(db)
            if not is_wanted:
                # Undoes it: nobody would answer the message, and its sender is told that it was not accepted.
                raise asyncio.CancelledError
            return begun

        try:
            return await self._database.write(begin)
        except asyncio.CancelledError:
            is_wanted = False
            raise

    @override
    async def cancel_paused(self, owner: Owner, thread_id: str, turn_id: str, by: Decider) -> None:
        await self._database.write(lambda db: continuations.cancel_paused(db, owner, thread_id, turn_id, by))

    @override
    async def list_approvals(self, owner: Owner, thread_id: str) -> list[Approval]:
        return await self._database.read(lambda db: continuations.list_approvals(db, owner, thread_id))

    @override
    async def remove_approvals(self, owner: Owner, thread_id: str) -> None:
        await self._database.write(lambda db: continuations.remove_approvals(db, owner, thread_id))

    @override
    async def record_calls(self, turn: StartedTurn, calls: Sequence[ToolCall]) -> None:
        await self._database.write(lambda db: turns.record_calls(db, turn, calls))

    @override
    async def find_replay(self, owner: Owner, thread_id: str, new: NewTurn) -> ReplayedTurn | None:
        return await self._database.read(lambda db: turns.find_replay(db, owner, thread_id, new))

    @override
    async def renew_lease(self, turn: StartedTurn, *, lease_seconds: float) -> None:
        await self._database.write(lambda db: turns.renew_lease(db, turn, lease_seconds))

    @override
    async def commit_turn(self, turn: StartedTurn, end: TurnEnd) -> None:
        await self._database.write(lambda db: turns.commit_turn(db, turn, end))

    @override
    async def request_cancel(self, owner: Owner, thread_id: str, turn_id: str) -> None:
        await self._database.write(lambda db: progress.request_cancel(db, owner, thread_id, turn_id))

    @override
    async def is_cancel_requested(self, turn: StartedTurn) -> bool:
        return await self._database.read(lambda db: progress.is_cancel_requested(db, turn))

    @override
    async def save_events(self, batches: Sequence[EventBatch]) -> list[Exception | None]:
        return await self._database.write(lambda db: progress.save_events(db, list(batches)))

    @override
    async def get_progress(self, owner: Owner, thread_id: str, turn_id: str, *, after: int | None) -> TurnProgress:
        def end_and_get(db: sqlite3.Connection) -> TurnProgress | None:
            turns.end_expired_turn(db, thread_row(db, owner, thread_id))
            return progress.get_progress(db, owner, thread_id, turn_id, after)

        found = await self._database.read(lambda db: progress.get_progress(db, owner, thread_id, turn_id, after))
        while found is None:
            found = await self._database.write(end_and_get)
        return found

    @override
    async def set_feedback(self, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
        return await self._database.write(lambda db: set_feedback(db, owner, thread_id, message_id, feedback))

    @override
    async def set_author_feedback(
        self, owner: Owner, thread_id: str, message_id: str, author_id: str, feedback: Feedback
    ) -> bool:
        return await self._database.write(lambda db: set_author_feedback(db, owner, thread_id, message_id, author_id, feedback))

    @override
    async def get_user_state(self, owner: Owner) -> UserState:
        return await self._database.read(lambda db: user_states.get_user_state(db, owner))

    @override
    async def put_user_state(self, owner: Owner, state: UserState) -> UserState:
        return await self._database.write(lambda db: user_states.put_user_state(db, owner, state))

    @override
    async def begin_erasure(self, owner: Owner) -> Erasure:
        return await self._database.write(lambda db: erasure.begin_erasure(db, owner))

    @override
    async def get_erasure(self, owner: Owner, erasure_id: str) -> Erasure:
        return await self._database.read(lambda db: erasure.get_erasure(db, owner, erasure_id))

    @override
    async def erase_threads(self, owner: Owner, erasure_id: str, *, limit: int) -> bool:
        return await self._database.write(lambda db: erasure.erase_threads(db, owner, erasure_id, limit))

    @override
    async def complete_erasure(self, owner: Owner, erasure_id: str) -> bool:
        # First the log, which still holds what was deleted from the file: a completed erasure has left nothing.
        if not await self._database.empty_log():
            return False
        ended = await self._database.write(lambda db: erasure.complete_erasure(db, owner, erasure_id))
        # And once more for the owner's name, which the erasure itself carried. If somebody is in the way, SQLite does it later.
        await self._database.empty_log()
        return ended

    @override
    async def abandoned_erasures(self, *, stale_since: datetime) -> list[OwnedRef]:
        return await self._database.read(lambda db: erasure.abandoned_erasures(db, stale_since))

    @override
    async def threads_of_author(self, author_id: str) -> list[OwnedRef]:
        return await self._database.read(lambda db: authors.threads_of_author(db, author_id))

    @override
    async def list_author_feedback(self, owner: Owner, thread_id: str, author_id: str) -> list[AuthorFeedback]:
        return await self._database.read(lambda db: list_author_feedback(db, owner, thread_id, author_id))

    @override
    async def erase_exchanges(self, owner: Owner, thread_id: str, author_id: str) -> ErasedExchanges:
        erased = await self._database.write(lambda db: authors.erase_exchanges(db, owner, thread_id, author_id))
        # Each time: the log of an earlier call may still hold what that has erased.
        emptied = await self._database.empty_log()
        return erased._replace(unfinished=erased.unfinished or not emptied)

    @override
    async def threads_of_team(self, tenant: str, team_key: str) -> list[OwnedRef]:
        return await self._database.read(lambda db: deletion.threads_of_team(db, tenant, team_key))

    @override
    async def idle_threads(self, *, since: datetime, limit: int, conversations: bool | None = None) -> list[OwnedRef]:
        return await self._database.read(lambda db: deletion.idle_threads(db, since, limit, conversations=conversations))
