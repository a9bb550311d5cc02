"""Deletion of threads in SQLite, and the threads that are due for it. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from errors import ThreadNotFound
from models import CONVERSATIONS, Owner, utcnow
from stores.sqlite.rows import owned_ref
from stores.types import TEAM_KEY, OwnedRef

IDLE = "updated_at < :since AND (lease_until IS NULL OR lease_until < min(:since, :now))"


def delete_thread(db: sqlite3.Connection, owner: Owner, thread_id: str, idle_since: datetime | None) -> bool:
    """Do what :meth:`ThreadStore.delete_thread` promises; what belongs to the thread goes with its row."""
    mine = "id = :id AND owner = :owner"
    values = {"id": thread_id, "owner": owner.hash, **_times(idle_since)}
    # Neither condition holds any value.
    if db.execute(f"DELETE FROM threads WHERE {mine}" + (f" AND {IDLE}" if idle_since else ""), values).rowcount:  # noqa: S608
        return True
    if db.execute(f"SELECT 1 FROM threads WHERE {mine}", values).fetchone():  # noqa: S608
        return False
    raise ThreadNotFound(thread_id)


def idle_threads(db: sqlite3.Connection, since: datetime, limit: int, *, conversations: bool | None) -> list[OwnedRef]:
    """Do what :meth:`ThreadStore.idle_threads` promises; a deletion here is never half done."""
    whose = {None: "", True: " AND tenant GLOB :tenants", False: " AND tenant NOT GLOB :tenants"}[conversations]
    sql = f"SELECT id, tenant, user FROM threads WHERE {IDLE}{whose} LIMIT :limit"  # noqa: S608 - holds no value
    values = {"limit": limit, "tenants": f"{CONVERSATIONS}*", **_times(since)}
    return [owned_ref(row) for row in db.execute(sql, values)]


def threads_of_team(db: sqlite3.Connection, tenant: str, team_key: str) -> list[OwnedRef]:
    """Do what :meth:`ThreadStore.threads_of_team` promises."""
    made_there = f"json_extract(metadata, '$.{TEAM_KEY}') = ?"
    sql = f"SELECT id, tenant, user FROM threads WHERE tenant = ? AND {made_there}"  # noqa: S608 - our own name
    return [owned_ref(row) for row in db.execute(sql, (tenant, team_key))]


def _times(since: datetime | None) -> dict[str, float]:
    return {"since": since.timestamp(), "now": utcnow().timestamp()} if since else {}
