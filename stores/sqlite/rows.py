"""The rows of the SQLite store: how records become rows and back, and how one thread or message is found."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from errors import ThreadNotFound
from models import Message, Owner, Thread, utcnow
from stores.types import OwnedRef


def thread_row(db: sqlite3.Connection, owner: Owner, thread_id: str) -> Any:
    """Return a thread's row.

    :raises ThreadNotFound: if the owner has no such thread.
    """
    row = db.execute("SELECT * FROM threads WHERE id = ? AND owner = ?", (thread_id, owner.hash)).fetchone()
    if row is None:
        raise ThreadNotFound(thread_id)
    return row


def turn_row(db: sqlite3.Connection, thread_id: str, turn_id: str) -> Any:
    """Return the row of a turn that has ended; ``None`` if there is none."""
    return db.execute("SELECT * FROM turns WHERE thread_id = ? AND id = ?", (thread_id, turn_id)).fetchone()


def as_thread(row: Any) -> Thread:
    """Return the thread in a row."""
    return Thread(
        id=row["id"],
        title=row["title"],
        status=row["status"],
        metadata=from_json(row["metadata"]),
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
        message_count=row["last_seq"],
        last_message_preview=row["last_message_preview"],
        external_id=row["external_id"],
        open_turn_id=row["open_turn_id"],
    )


def approvals(thread: Any) -> dict[str, str]:
    """Return the tools that need not ask in a thread's row, and since when."""
    allowed: dict[str, str] = from_json(thread["approvals"] or "{}")
    return allowed


def has_expired_lease(thread: Any) -> bool:
    """Whether a thread's row is leased to a turn that did not end in time."""
    return thread["lease_turn_id"] is not None and thread["lease_until"] <= utcnow().timestamp()


def find_message(db: sqlite3.Connection, thread_id: str, seq: int) -> Message | None:
    """Return the thread's message at a place, if there is one."""
    row = db.execute("SELECT record FROM messages WHERE thread_id = ? AND seq = ?", (thread_id, seq)).fetchone()
    return Message.model_validate_json(row["record"]) if row else None


def stored_message(db: sqlite3.Connection, thread_id: str, seq: int) -> Message:
    """Return the thread's message at a place where there must be one."""
    message = find_message(db, thread_id, seq)
    if message is None:
        raise LookupError(f"message {seq} of {thread_id} is missing")
    return message


def put_message(db: sqlite3.Connection, message: Message) -> None:
    """Store a message at its place."""
    db.execute(
        "INSERT INTO messages VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record",
        (message.thread_id, message.seq, message.model_dump_json()),
    )


def moment(seconds: float) -> datetime:
    """Return the time that is stored as seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def now_not_before(seconds: float) -> datetime:
    """Return the time now, or the later one that another process's clock has left."""
    return max(utcnow(), moment(seconds))


def owned_ref(row: Any) -> OwnedRef:
    """Return what a row belongs to, by its id."""
    return OwnedRef(Owner(row["tenant"], row["user"]), row["id"])
