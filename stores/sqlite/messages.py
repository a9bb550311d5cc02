"""Messages in SQLite. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3

from models import Message, Order, Owner
from stores.sqlite.rows import has_expired_lease, thread_row
from stores.sqlite.turns import interrupted, lease_calls
from stores.types import Page


def list_messages(
    db: sqlite3.Connection,
    owner: Owner,
    thread_id: str,
    limit: int,
    after: int | None,
    before: int | None,
    order: Order,
) -> Page[Message]:
    """Do what :meth:`ThreadStore.list_messages` promises."""
    thread = thread_row(db, owner, thread_id)
    direction = "ASC" if order == "asc" else "DESC"
    sql = (
        "SELECT record FROM messages WHERE thread_id = ? AND seq > ? AND seq < ? "  # noqa: S608 - one of two words
        f"ORDER BY seq {direction} LIMIT ?"
    )
    upper = thread["last_seq"] + 1 if before is None else before
    rows = db.execute(sql, (thread_id, after or 0, upper, limit + 1)).fetchall()
    messages = [Message.model_validate_json(row["record"]) for row in rows[:limit]]
    if has_expired_lease(thread):
        acted = lease_calls(thread)
        messages = [interrupted(message, acted) if message.seq == thread["lease_seq"] else message for message in messages]
    return Page(messages, messages[-1].id if len(rows) > limit else None)
