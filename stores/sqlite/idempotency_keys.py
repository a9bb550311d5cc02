"""Idempotency-Keys in SQLite: those that came before, and their answers. Each function is part of one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

from errors import IdempotencyKeyReused
from stores.sqlite.rows import stored_message
from stores.types import NewTurn, ReplayedTurn, StartedTurn


def known_key(db: sqlite3.Connection, thread_id: str, new: NewTurn) -> Any:
    """Return the row of an Idempotency-Key, if it came before.

    :raises IdempotencyKeyReused: if it did with another fingerprint.
    """
    if new.idempotency_key is None:
        return None
    query = "SELECT * FROM idempotency_keys WHERE thread_id = ? AND key = ?"
    known = db.execute(query, (thread_id, _hash(new.idempotency_key))).fetchone()
    if known and known["fingerprint"] != new.fingerprint:
        raise IdempotencyKeyReused
    return known


def replay(db: sqlite3.Connection, known: Any) -> ReplayedTurn | None:
    """Return the answer that the key of a row has, if there is such a row and it has one."""
    return ReplayedTurn(stored_message(db, known["thread_id"], known["reply_seq"])) if known and known["reply_seq"] else None


def store_key(db: sqlite3.Connection, thread_id: str, new: NewTurn, seq: int) -> None:
    """Store a request's Idempotency-Key, if it has one, for the message at ``seq``."""
    if new.idempotency_key:
        db.execute(
            "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, NULL)",
            (thread_id, _hash(new.idempotency_key), new.fingerprint, seq),
        )


def answer_key(db: sqlite3.Connection, turn: StartedTurn, reply_seq: int) -> None:
    """Note where the answer to a turn's Idempotency-Key is, if it has one."""
    if turn.idempotency_key:
        sql = "UPDATE idempotency_keys SET reply_seq = ? WHERE thread_id = ? AND key = ?"
        db.execute(sql, (reply_seq, turn.thread.id, _hash(turn.idempotency_key)))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
