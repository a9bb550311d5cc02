"""Threads in SQLite. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3

from pydantic_core import to_json

from models import Metadata, Owner, Thread, ThreadStatus, new_session_thread, new_thread
from stores.cursors import decode_cursor, encode_cursor, sort_key
from stores.limits import StoreLimits
from stores.sqlite.rows import as_thread, now_not_before, thread_row
from stores.types import Page, ThreadChanges


def create_thread(db: sqlite3.Connection, owner: Owner, title: str | None, metadata: Metadata, limits: StoreLimits) -> Thread:
    """Do what :meth:`ThreadStore.create_thread` promises."""
    _check_room(db, owner, limits)
    thread = new_thread(title=title, metadata=metadata)
    _insert(db, owner, thread)
    return thread


def open_session_thread(db: sqlite3.Connection, owner: Owner, external_id: str, limits: StoreLimits) -> Thread:
    """Do what :meth:`ThreadStore.open_session_thread` promises; a deletion here is never half done."""
    thread = new_session_thread(owner, external_id)
    if db.execute("SELECT 1 FROM threads WHERE id = ?", (thread.id,)).fetchone() is None:
        _check_room(db, owner, limits)
    _insert(db, owner, thread)
    return as_thread(thread_row(db, owner, thread.id))


def list_threads(
    db: sqlite3.Connection, owner: Owner, status: ThreadStatus | None, open: bool | None, limit: int, cursor: str | None
) -> Page[Thread]:
    """Do what :meth:`ThreadStore.list_threads` promises."""
    before = decode_cursor(cursor) if cursor else "~"
    wanted = "" if open is None else f"AND open_turn_id IS {'NOT ' if open else ''}NULL "
    sql = (
        "SELECT * FROM threads WHERE owner = ? AND sort < ? AND (? IS NULL OR status = ?) "  # noqa: S608 - our own
        f"{wanted}ORDER BY sort DESC LIMIT ?"
    )
    rows = db.execute(sql, (owner.hash, before, status, status, limit + 1)).fetchall()
    page = [as_thread(row) for row in rows[:limit]]
    return Page(page, encode_cursor(rows[limit - 1]["sort"]) if len(rows) > limit else None)


def update_thread(db: sqlite3.Connection, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
    """Do what :meth:`ThreadStore.update_thread` promises."""
    row = thread_row(db, owner, thread_id)
    thread = as_thread(row).model_copy(update={**changes, "updated_at": now_not_before(row["updated_at"])})
    db.execute(
        "UPDATE threads SET title = :title, status = :status, metadata = :metadata, updated_at = :updated_at, sort = :sort "
        "WHERE id = :id",
        _columns(thread),
    )
    return thread


def list_thread_ids(db: sqlite3.Connection, owner: Owner, limit: int, after: str | None) -> list[str]:
    """Do what :meth:`ThreadStore.list_thread_ids` promises."""
    sql = "SELECT id FROM threads WHERE owner = ? AND id > ? ORDER BY id LIMIT ?"
    return [row["id"] for row in db.execute(sql, (owner.hash, after or "", limit))]


def _check_room(db: sqlite3.Connection, owner: Owner, limits: StoreLimits) -> None:
    if limits.threads:
        (count,) = db.execute("SELECT COUNT(*) FROM threads WHERE owner = ?", (owner.hash,)).fetchone()
        limits.check_threads(count)


def _insert(db: sqlite3.Connection, owner: Owner, thread: Thread) -> None:
    """Store a new thread, unless it is there."""
    db.execute(
        "INSERT INTO threads "
        "(id, owner, tenant, user, title, status, metadata, created_at, updated_at, sort, last_seq, external_id) VALUES "
        "(:id, :owner, :tenant, :user, :title, :status, :metadata, :created_at, :updated_at, :sort, 0, :external_id) "
        "ON CONFLICT DO NOTHING",
        {
            "owner": owner.hash,
            "tenant": owner.tenant,
            "user": owner.user,
            "created_at": thread.created_at.timestamp(),
            "external_id": thread.external_id,
            **_columns(thread),
        },
    )


def _columns(thread: Thread) -> dict[str, str | float | None]:
    """Return what an owner may change of a thread, with its id and its place in the list."""
    return {
        "id": thread.id,
        "title": thread.title,
        "status": thread.status,
        "metadata": to_json(thread.metadata).decode(),
        "updated_at": thread.updated_at.timestamp(),
        "sort": sort_key(thread.updated_at, thread.id),
    }
