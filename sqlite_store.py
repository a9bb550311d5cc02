"""The thread store on SQLite: one file, no server, safe with several processes on it.

Every method is one transaction. Writers take SQLite's write lock first, so what a transaction has read stays true until it
commits.
"""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from typing_extensions import override

from errors import IdempotencyKeyReused, LeaseLost, ThreadNotFound, TurnInProgress
from sqlite_database import SqliteDatabase
from store import (
    Message,
    Metadata,
    NewMessage,
    Order,
    Owner,
    Page,
    ReplayedTurn,
    StartedTurn,
    Thread,
    ThreadChanges,
    ThreadStatus,
    ThreadStore,
    decode_cursor,
    encode_cursor,
    message_id,
    new_thread,
    preview,
    sort_key,
    utcnow,
)

MESSAGES = TypeAdapter(list[Message])


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
    async def create_thread(self, owner: Owner, *, title: str | None, metadata: Metadata) -> Thread:
        thread = new_thread(title=title, metadata=metadata)
        await self._database.write(lambda db: _insert_thread(db, owner, thread))
        return thread

    @override
    async def get_thread(self, owner: Owner, thread_id: str) -> Thread:
        return await self._database.read(lambda db: _thread(_thread_row(db, owner, thread_id)))

    @override
    async def list_threads(self, owner: Owner, *, status: ThreadStatus | None, limit: int, cursor: str | None) -> Page[Thread]:
        before = decode_cursor(cursor) if cursor else "~"
        query = "SELECT * FROM threads WHERE owner = ? AND sort < ? AND (? IS NULL OR status = ?) ORDER BY sort DESC LIMIT ?"
        rows = await self._database.read(
            lambda db: db.execute(query, (owner.hash, before, status, status, limit + 1)).fetchall()
        )
        page = rows[:limit]
        return Page([_thread(row) for row in page], encode_cursor(page[-1]["sort"]) if len(rows) > limit else None)

    @override
    async def update_thread(self, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
        def update(db: sqlite3.Connection) -> Thread:
            row = _thread_row(db, owner, thread_id)
            thread = _thread(row).model_copy(update={**changes, "updated_at": _not_before(row["updated_at"])})
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
    async def delete_thread(self, owner: Owner, thread_id: str) -> None:
        def delete(db: sqlite3.Connection) -> None:
            if not db.execute("DELETE FROM threads WHERE id = ? AND owner = ?", (thread_id, owner.hash)).rowcount:
                raise ThreadNotFound(thread_id)

        await self._database.write(delete)

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
            thread = _thread_row(db, owner, thread_id)
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
    async def begin_turn(
        self, owner: Owner, thread_id: str, new: NewMessage, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        def begin(db: sqlite3.Connection) -> StartedTurn | ReplayedTurn:
            row = _thread_row(db, owner, thread_id)
            known = _known_key(db, thread_id, new)
            if known and known["reply_seq"]:
                return ReplayedTurn(_message(db, thread_id, known["reply_seq"]))
            _clear_expired_lease(db, row)
            if known:
                message = _message(db, thread_id, known["seq"])
                message = message.model_copy(update={"status": "running", "turn_id": new.turn_id, "problem": None})
            else:
                message = _new_message(thread_id, row["last_seq"] + 1, new)
            _put_message(db, message)
            if new.idempotency_key and not known:
                db.execute(
                    "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, NULL)",
                    (thread_id, _hash(new.idempotency_key), new.fingerprint, message.seq),
                )
            last_seq = max(row["last_seq"], message.seq)
            db.execute(
                "UPDATE threads SET last_seq = ?, lease_turn_id = ?, lease_until = ?, lease_seq = ? WHERE id = ?",
                (last_seq, new.turn_id, utcnow().timestamp() + lease_seconds, message.seq, thread_id),
            )
            return StartedTurn(
                owner=owner,
                thread=_thread(row).model_copy(update={"message_count": last_seq}),
                turn_id=new.turn_id,
                message=message,
                history=_history(db, message, history_limit),
                reply_seq=last_seq + 1,
                attempt_of_existing=known is not None,
                idempotency_key=new.idempotency_key,
            )

        return await self._database.write(begin)

    @override
    async def renew_lease(self, turn: StartedTurn, *, lease_seconds: float) -> None:
        def renew(db: sqlite3.Connection) -> None:
            until = utcnow().timestamp() + lease_seconds
            sql = "UPDATE threads SET lease_until = ? WHERE id = ? AND lease_turn_id = ?"
            if not db.execute(sql, (until, turn.thread.id, turn.turn_id)).rowcount:
                raise LeaseLost

        await self._database.write(renew)

    @override
    async def commit_turn(self, turn: StartedTurn, *, message: Message, reply: Message | None) -> None:
        def commit(db: sqlite3.Connection) -> None:
            row = db.execute("SELECT * FROM threads WHERE id = ?", (turn.thread.id,)).fetchone()
            if row is None or row["lease_turn_id"] != turn.turn_id:
                if row is not None and _is_committed(db, message):
                    return
                raise LeaseLost
            _put_message(db, message)
            if reply:
                _put_message(db, reply)
            last = reply or message
            updated_at = _not_before(row["updated_at"])
            db.execute(
                "UPDATE threads SET last_seq = ?, last_message_preview = ?, updated_at = ?, sort = ?, "
                "lease_turn_id = NULL, lease_until = NULL, lease_seq = NULL WHERE id = ?",
                (
                    max(row["last_seq"], last.seq),
                    preview(last.content),
                    updated_at.timestamp(),
                    sort_key(updated_at, turn.thread.id),
                    turn.thread.id,
                ),
            )
            if turn.idempotency_key and reply:
                db.execute(
                    "UPDATE idempotency_keys SET reply_seq = ? WHERE thread_id = ? AND key = ?",
                    (reply.seq, turn.thread.id, _hash(turn.idempotency_key)),
                )

        await self._database.write(commit)


def _thread_row(db: sqlite3.Connection, owner: Owner, thread_id: str) -> Any:
    row = db.execute("SELECT * FROM threads WHERE id = ? AND owner = ?", (thread_id, owner.hash)).fetchone()
    if row is None:
        raise ThreadNotFound(thread_id)
    return row


def _thread(row: Any) -> Thread:
    return Thread(
        id=row["id"],
        title=row["title"],
        status=row["status"],
        metadata=from_json(row["metadata"]),
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        updated_at=datetime.fromtimestamp(row["updated_at"], UTC),
        message_count=row["last_seq"],
        last_message_preview=row["last_message_preview"],
    )


def _insert_thread(db: sqlite3.Connection, owner: Owner, thread: Thread) -> None:
    db.execute(
        "INSERT INTO threads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL, NULL, NULL, NULL)",
        (
            thread.id,
            owner.hash,
            owner.tenant,
            owner.user,
            thread.title,
            thread.status,
            to_json(thread.metadata).decode(),
            thread.created_at.timestamp(),
            thread.updated_at.timestamp(),
            sort_key(thread.updated_at, thread.id),
        ),
    )


def _message(db: sqlite3.Connection, thread_id: str, seq: int) -> Message:
    row = db.execute("SELECT record FROM messages WHERE thread_id = ? AND seq = ?", (thread_id, seq)).fetchone()
    return Message.model_validate_json(row["record"])


def _put_message(db: sqlite3.Connection, message: Message) -> None:
    db.execute(
        "INSERT INTO messages VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
        (message.thread_id, message.seq, message.model_dump_json()),
    )


def _new_message(thread_id: str, seq: int, new: NewMessage) -> Message:
    return Message(
        id=message_id(thread_id, seq),
        thread_id=thread_id,
        seq=seq,
        role="user",
        content=new.content,
        timestamp=utcnow(),
        status="running",
        turn_id=new.turn_id,
        metadata=new.metadata,
    )


def _known_key(db: sqlite3.Connection, thread_id: str, new: NewMessage) -> Any:
    if new.idempotency_key is None:
        return None
    query = "SELECT * FROM idempotency_keys WHERE thread_id = ? AND key = ?"
    known = db.execute(query, (thread_id, _hash(new.idempotency_key))).fetchone()
    if known and known["fingerprint"] != new.fingerprint:
        raise IdempotencyKeyReused
    return known


def _clear_expired_lease(db: sqlite3.Connection, thread: Any) -> None:
    if thread["lease_turn_id"] is None:
        return
    left = thread["lease_until"] - utcnow().timestamp()
    if left > 0:
        raise TurnInProgress(retry_after=min(left, 2))
    message = _message(db, thread["id"], thread["lease_seq"])
    _put_message(db, message.model_copy(update={"status": "interrupted"}))


def _history(db: sqlite3.Connection, message: Message, limit: int) -> list[Message]:
    # One row, because each row that is fetched costs a switch of threads under load.
    query = (
        "SELECT group_concat(record) FROM "
        "(SELECT record FROM messages WHERE thread_id = ? AND seq <> ? ORDER BY seq DESC LIMIT ?)"
    )
    (records,) = db.execute(query, (message.thread_id, message.seq, limit)).fetchone()
    history = MESSAGES.validate_json(f"[{records or ''}]")
    history.reverse()
    return history


def _is_committed(db: sqlite3.Connection, message: Message) -> bool:
    query = "SELECT record FROM messages WHERE thread_id = ? AND seq = ?"
    row = db.execute(query, (message.thread_id, message.seq)).fetchone()
    if row is None:
        return False
    stored = Message.model_validate_json(row["record"])
    return (stored.turn_id, stored.status) == (message.turn_id, message.status)


def _not_before(timestamp: float) -> datetime:
    """Return the time now, or the later one that another process's clock has left."""
    return max(utcnow(), datetime.fromtimestamp(timestamp, UTC))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
