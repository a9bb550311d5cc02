"""How turns stand in SQLite: looking at them, cancelling, and their events. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

from pydantic_core import PydanticSerializationError, from_json

from errors import LeaseLost, TurnEnded, TurnInterrupted, TurnNotFound
from events import TurnEvent, stored_events
from models import Owner, Problem, Turn, utcnow
from stores.sqlite.rows import has_expired_lease, moment, stored_message, thread_row, turn_row
from stores.types import EventBatch, StartedTurn, TurnProgress


def request_cancel(db: sqlite3.Connection, owner: Owner, thread_id: str, turn_id: str) -> None:
    """Do what :meth:`ThreadStore.request_cancel` promises."""
    if _without_events(db, thread_row(db, owner, thread_id), turn_id).turn.status != "running":
        raise TurnEnded
    db.execute("UPDATE threads SET lease_cancel_requested = 1 WHERE id = ?", (thread_id,))


def is_cancel_requested(db: sqlite3.Connection, turn: StartedTurn) -> bool:
    """Do what :meth:`ThreadStore.is_cancel_requested` promises."""
    sql = "SELECT lease_cancel_requested FROM threads WHERE id = ? AND lease_turn_id = ?"
    row = db.execute(sql, (turn.thread.id, turn.turn_id)).fetchone()
    if row is None:
        raise LeaseLost
    return bool(row["lease_cancel_requested"])


def get_progress(db: sqlite3.Connection, owner: Owner, thread_id: str, turn_id: str, after: int | None) -> TurnProgress | None:
    """Do what :meth:`ThreadStore.get_progress` promises; ``None`` if the turn is to be ended first, as it has expired."""
    thread = thread_row(db, owner, thread_id)
    progress = _without_events(db, thread, turn_id)
    if progress.turn.status == "interrupted" and thread["lease_turn_id"] == turn_id:
        return None
    return progress if after is None else replace(progress, events=_events(db, progress.turn, after))


def _without_events(db: sqlite3.Connection, thread: Any, turn_id: str) -> TurnProgress:
    """Return how a turn of a thread's row stands.

    :raises TurnNotFound: if there is none.
    """
    if thread["lease_turn_id"] == turn_id:
        running = not has_expired_lease(thread)
        turn = Turn(
            id=turn_id,
            thread_id=thread["id"],
            status="running" if running else "interrupted",
            problem=None if running else Problem.of(TurnInterrupted()),
            started_at=moment(thread["lease_started_at"]),
            ended_at=None if running else moment(thread["lease_until"]),
            cancelled_turn_id=thread["lease_cancelled_turn_id"],
            continues=thread["lease_continues"],
        )
        return TurnProgress(turn, [], None)
    row = turn_row(db, thread["id"], turn_id)
    if row is None:
        raise TurnNotFound(turn_id)
    message = stored_message(db, thread["id"], row["reply_seq"]) if row["reply_seq"] else None
    turn = _as_turn(row).model_copy(update={"message": message})
    return TurnProgress(turn, [], row["final_event_id"], bool(row["events_kept"]))


def list_turns(db: sqlite3.Connection, owner: Owner, thread_id: str, limit: int, after: str | None) -> list[Turn]:
    """Do what :meth:`ThreadStore.list_turns` promises."""
    thread_row(db, owner, thread_id)
    sql = "SELECT * FROM turns WHERE thread_id = ? AND id > ? ORDER BY id LIMIT ?"
    return [_as_turn(row) for row in db.execute(sql, (thread_id, after or "", limit))]


def save_events(db: sqlite3.Connection, batches: list[EventBatch]) -> list[Exception | None]:
    """Do what :meth:`ThreadStore.save_events` promises; what may be forgotten goes."""
    now = utcnow().timestamp()
    outcomes: list[Exception | None] = []
    texts: list[tuple[EventBatch, str]] = []
    for batch in batches:
        try:
            texts.append((batch, (b"[" + b",".join(event.to_json() for event in batch.events) + b"]").decode()))
        except PydanticSerializationError as error:
            outcomes.append(error)
        else:
            outcomes.append(None)
    db.execute("DELETE FROM events WHERE expires_at <= ?", (now,))
    # Not for a thread that is gone: the reference would not hold.
    db.executemany(
        "INSERT INTO events SELECT ?1, ?2, ?3, ?4, ?5, ?6 "
        "WHERE EXISTS (SELECT 1 FROM threads WHERE id = ?1 AND created_at = coalesce(?7, created_at)) "
        "ON CONFLICT DO UPDATE SET last = excluded.last, expires_at = excluded.expires_at, events = excluded.events",
        [
            (
                batch.thread_id,
                batch.turn_id,
                batch.events[0].id,
                batch.events[-1].id,
                now + batch.seconds_to_live,
                text,
                batch.thread_created_at.timestamp() if batch.thread_created_at else None,
            )
            for batch, text in texts
        ],
    )
    return outcomes


def _events(db: sqlite3.Connection, turn: Turn, after: int) -> list[TurnEvent]:
    rows = db.execute(
        "SELECT events FROM events WHERE thread_id = ? AND turn_id = ? AND last > ? AND expires_at > ? ORDER BY first",
        (turn.thread_id, turn.id, after, utcnow().timestamp()),
    )
    events = stored_events(event for row in rows for event in from_json(row["events"]))
    return [event for event in events if event.id > after]


def _as_turn(row: Any) -> Turn:
    return Turn(
        id=row["id"],
        thread_id=row["thread_id"],
        status=row["status"],
        problem=Problem.model_validate_json(row["problem"]) if row["problem"] else None,
        started_at=moment(row["started_at"]),
        ended_at=moment(row["ended_at"]),
        continues=row["continues"],
        continued_by=row["continued_by"],
        cancelled_turn_id=row["cancelled_turn_id"],
    )
