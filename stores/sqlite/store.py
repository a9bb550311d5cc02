"""The thread store on SQLite: one file, no server, safe with several processes on it.

Every method is one transaction. Writers take SQLite's write lock first, so what a transaction has read stays true until it
commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic_core import to_json
from typing_extensions import override

from events import EventBatch, TurnProgress
from models import (
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
from stores.contract import ThreadStore, decode_cursor, encode_cursor, sort_key
from stores.sqlite import erasure, turns, user_states
from stores.sqlite.database import SqliteDatabase
from stores.sqlite.rows import as_thread, insert_thread, not_before, set_feedback, thread_row


class SqliteStore(ThreadStore):
    """:class:`store.ThreadStore` in the SQLite file ``path``; its folder is made if it is missing."""

    def __init__(self, path: Path) -> None:
        self._database = SqliteDatabase(path)

    @override
    async def __aenter__(self) -> Self:
        await self._database.open()
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._database.close()

    @override
    async def ping(self) -> None:
        await self._database.read(lambda db: db.execute("SELECT id FROM threads LIMIT 1").fetchone())

    @override
    async def create_thread(self, owner: Owner, *, title: str | None, metadata: Metadata) -> Thread:
        thread = new_thread(title=title, metadata=metadata)
        await self._database.write(lambda db: insert_thread(db, owner, thread))
        return thread

    @override
    async def get_thread(self, owner: Owner, thread_id: str) -> Thread:
        return await self._database.read(lambda db: as_thread(thread_row(db, owner, thread_id)))

    @override
    async def list_threads(self, owner: Owner, *, status: ThreadStatus | None, limit: int, cursor: str | None) -> Page[Thread]:
        before = decode_cursor(cursor) if cursor else "~"
        query = "SELECT * FROM threads WHERE owner = ? AND sort < ? AND (? IS NULL OR status = ?) ORDER BY sort DESC LIMIT ?"
        rows = await self._database.read(
            lambda db: db.execute(query, (owner.hash, before, status, status, limit + 1)).fetchall()
        )
        page = rows[:limit]
        return Page([as_thread(row) for row in page], encode_cursor(page[-1]["sort"]) if len(rows) > limit else None)

    @override
    async def update_thread(self, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
        def update(db: sqlite3.Connection) -> Thread:
            row = thread_row(db, owner, thread_id)
            thread = as_thread(row).model_copy(update={**changes, "updated_at": not_before(row["updated_at"])})
            db.execute(
                "UPDATE threads SET title = ?, status = ?, metadata = ?, updated_at = ?, sort = ? WHERE id = ?",
                (
                    thread.title,
                    thread.status,
                    to_json(thread.metadata).decode(),
                    thread.updated_at.timestamp(),
                    sort_key(thread.updated_at, thread_id),
                    thread_id,
                ),
            )
            return thread

        return await self._database.write(update)

    @override
    async def list_thread_ids(self, owner: Owner, *, limit: int, after: str | None) -> list[str]:
        query = "SELECT id FROM threads WHERE owner = ? AND id > ? ORDER BY id LIMIT ?"
        rows = await self._database.read(lambda db: db.execute(query, (owner.hash, after or "", limit)).fetchall())
        return [row["id"] for row in rows]

    @override
    async def delete_thread(self, owner: Owner, thread_id: str, *, idle_since: datetime | None = None) -> bool:
        return await self._database.write(lambda db: erasure.delete_thread(db, owner, thread_id, idle_since))

    @override
    async def list_messages(
        self, owner: Owner, thread_id: str, *, limit: int, after: int | None, before: int | None, order: Order
    ) -> Page[Message]:
        direction = "ASC" if order == "asc" else "DESC"
        query = (
            "SELECT record FROM messages WHERE thread_id = ? AND seq > ? AND seq < ? "  # noqa: S608 - one of two words
            f"ORDER BY seq {direction} LIMIT ?"
        )

        def read(db: sqlite3.Connection) -> tuple[sqlite3.Row, list[sqlite3.Row]]:
            thread = thread_row(db, owner, thread_id)
            upper = thread["last_seq"] + 1 if before is None else before
            return thread, db.execute(query, (thread_id, after or 0, upper, limit + 1)).fetchall()

        thread, rows = await self._database.read(read)
        messages = [Message.model_validate_json(row["record"]) for row in rows[:limit]]
        if thread["lease_turn_id"] and thread["lease_until"] <= utcnow().timestamp():
            messages = [
                message.model_copy(update={"status": "interrupted"}) if message.seq == thread["lease_seq"] else message
                for message in messages
            ]
        return Page(messages, messages[-1].id if len(rows) > limit else None)

    @override
    async def list_turns(self, owner: Owner, thread_id: str, *, limit: int, after: str | None) -> list[Turn]:
        return await self._database.read(lambda db: turns.list_turns(db, owner, thread_id, limit, after))

    @override
    async def begin_turn(
        self, owner: Owner, thread_id: str, new: NewMessage, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        return await self._database.write(lambda db: turns.begin_turn(db, owner, thread_id, new, lease_seconds, history_limit))

    @override
    async def renew_lease(self, turn: StartedTurn, *, lease_seconds: float) -> None:
        await self._database.write(lambda db: turns.renew_lease(db, turn, lease_seconds))

    @override
    async def commit_turn(self, turn: StartedTurn, *, message: Message, reply: Message | None, final_event_id: int) -> None:
        await self._database.write(lambda db: turns.commit_turn(db, turn, message, reply, final_event_id))

    @override
    async def request_cancel(self, owner: Owner, thread_id: str, turn_id: str) -> None:
        await self._database.write(lambda db: turns.request_cancel(db, owner, thread_id, turn_id))

    @override
    async def is_cancel_requested(self, turn: StartedTurn) -> bool:
        return await self._database.read(lambda db: turns.is_cancel_requested(db, turn))

    @override
    async def save_events(self, batches: Sequence[EventBatch]) -> None:
        await self._database.write(lambda db: turns.save_events(db, list(batches)))

    @override
    async def get_progress(self, owner: Owner, thread_id: str, turn_id: str, *, after: int | None) -> TurnProgress:
        def end_and_get(db: sqlite3.Connection) -> TurnProgress | None:
            turns.end_expired_turn(db, thread_row(db, owner, thread_id))
            return turns.get_progress(db, owner, thread_id, turn_id, after)

        progress = await self._database.read(lambda db: turns.get_progress(db, owner, thread_id, turn_id, after))
        while progress is None:
            progress = await self._database.write(end_and_get)
        return progress

    @override
    async def set_feedback(self, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
        return await self._database.write(lambda db: set_feedback(db, owner, thread_id, message_id, feedback))

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
    async def abandoned_erasures(self, *, silent_since: datetime) -> list[Owned]:
        return await self._database.read(lambda db: erasure.abandoned_erasures(db, silent_since))

    @override
    async def idle_threads(self, *, since: datetime, limit: int) -> list[Owned]:
        return await self._database.read(lambda db: erasure.idle_threads(db, since, limit))
