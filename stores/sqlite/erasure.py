"""Erasures in SQLite. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from typing import Any

from errors import ErasureNotFound
from models import Erasure, Owner, new_id, utcnow
from stores.owner_contract import RECEIPT_DAYS
from stores.sqlite.rows import moment, owned_ref
from stores.types import OwnedRef


def begin_erasure(db: sqlite3.Connection, owner: Owner) -> Erasure:
    """Do what :meth:`ThreadStore.begin_erasure` promises; receipts that have expired go."""
    now = utcnow().timestamp()
    db.execute("DELETE FROM erasures WHERE ended_at <= ?", (_receipts_since(),))
    db.execute(
        "INSERT INTO erasures (id, owner, tenant, user, status, threads, started_at, heartbeat) "
        "VALUES (?, ?, ?, ?, 'running', 0, ?, ?) ON CONFLICT DO NOTHING",
        (new_id("erasure"), owner.hash, owner.tenant, owner.user, now, now),
    )
    running = "SELECT * FROM erasures WHERE owner = ? AND status = 'running'"
    return _as_erasure(db.execute(running, (owner.hash,)).fetchone())


def get_erasure(db: sqlite3.Connection, owner: Owner, erasure_id: str) -> Erasure:
    """Do what :meth:`ThreadStore.get_erasure` promises."""
    sql = "SELECT * FROM erasures WHERE id = ? AND owner = ? AND (ended_at IS NULL OR ended_at > ?)"
    row = db.execute(sql, (erasure_id, owner.hash, _receipts_since())).fetchone()
    if row is None:
        raise ErasureNotFound(erasure_id)
    return _as_erasure(row)


def erase_threads(db: sqlite3.Connection, owner: Owner, erasure_id: str, limit: int) -> bool:
    """Do what :meth:`ThreadStore.erase_threads` promises."""
    some = "SELECT id FROM threads WHERE owner = ? LIMIT ?"
    running = "UPDATE erasures SET heartbeat = ? WHERE id = ? AND owner = ? AND status = 'running'"
    if not db.execute(running, (utcnow().timestamp(), erasure_id, owner.hash)).rowcount:
        return False
    db.execute("DELETE FROM user_states WHERE owner = ?", (owner.hash,))
    erased = db.execute(f"DELETE FROM threads WHERE id IN ({some})", (owner.hash, limit)).rowcount  # noqa: S608 - ours
    db.execute("UPDATE erasures SET threads = threads + ? WHERE id = ?", (erased, erasure_id))
    return erased > 0


def complete_erasure(db: sqlite3.Connection, owner: Owner, erasure_id: str) -> bool:
    """Do what :meth:`ThreadStore.complete_erasure` promises."""
    left = "SELECT 1 FROM threads WHERE owner = :owner UNION ALL SELECT 1 FROM user_states WHERE owner = :owner"
    if db.execute(left, {"owner": owner.hash}).fetchone():
        return False
    db.execute(
        "UPDATE erasures SET status = 'completed', ended_at = ?, tenant = NULL, user = NULL "
        "WHERE id = ? AND owner = ? AND status = 'running'",
        (utcnow().timestamp(), erasure_id, owner.hash),
    )
    return True


def abandoned_erasures(db: sqlite3.Connection, stale_since: datetime) -> list[OwnedRef]:
    """Do what :meth:`ThreadStore.abandoned_erasures` promises."""
    sql = "SELECT id, tenant, user FROM erasures WHERE status = 'running' AND heartbeat < ?"
    return [owned_ref(row) for row in db.execute(sql, (stale_since.timestamp(),))]


def _receipts_since() -> float:
    return (utcnow() - timedelta(days=RECEIPT_DAYS)).timestamp()


def _as_erasure(row: Any) -> Erasure:
    return Erasure(
        id=row["id"],
        status=row["status"],
        threads=row["threads"],
        started_at=moment(row["started_at"]),
        ended_at=None if row["ended_at"] is None else moment(row["ended_at"]),
    )
