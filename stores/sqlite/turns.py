"""Turns in SQLite: the lease on a thread, the commit, cancelling, and the events. Each function is part of one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from errors import IdempotencyKeyReused, LeaseLost, TurnEnded, TurnInProgress, TurnInterrupted, TurnNotFound
from events import EventBatch, TurnEvent, TurnProgress, stored_events
from models import (
    Message,
    NewMessage,
    Owner,
    Problem,
    ReplayedTurn,
    StartedTurn,
    Turn,
    TurnStatus,
    message_id,
    preview,
    utcnow,
)
from stores.contract import sort_key
from stores.sqlite.rows import as_thread, find_message, moment, not_before, put_message, thread_row

MESSAGES = TypeAdapter(list[Message])
NO_LEASE = "lease_turn_id = NULL, lease_started_at = NULL, lease_until = NULL, lease_seq = NULL, lease_cancel_requested = 0"


def begin_turn(
    db: sqlite3.Connection, owner: Owner, thread_id: str, new: NewMessage, lease_seconds: float, history_limit: int
) -> StartedTurn | ReplayedTurn:
    """Do what :meth:`store.ThreadStore.begin_turn` promises."""
    row = thread_row(db, owner, thread_id)
    known = _known_key(db, thread_id, new)
    if known and known["reply_seq"]:
        return ReplayedTurn(_message(db, thread_id, known["reply_seq"]))
    if row["lease_turn_id"] and not end_expired_turn(db, row):
        raise TurnInProgress(retry_after=min(row["lease_until"] - utcnow().timestamp(), 2))
    if known:
        message = _message(db, thread_id, known["seq"])
        message = message.model_copy(update={"status": "running", "turn_id": new.turn_id, "problem": None})
    else:
        message = _new_message(thread_id, row["last_seq"] + 1, new)
    put_message(db, message)
    if new.idempotency_key and not known:
        db.execute(
            "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, NULL)",
            (thread_id, _hash(new.idempotency_key), new.fingerprint, message.seq),
        )
    last_seq = max(row["last_seq"], message.seq)
    now = utcnow()
    db.execute(
        "UPDATE threads SET last_seq = ?, lease_turn_id = ?, lease_started_at = ?, lease_until = ?, lease_seq = ?, "
        "lease_cancel_requested = 0 WHERE id = ?",
        (last_seq, new.turn_id, now.timestamp(), now.timestamp() + lease_seconds, message.seq, thread_id),
    )
    return StartedTurn(
        owner=owner,
        thread=as_thread(row).model_copy(update={"message_count": last_seq}),
        turn_id=new.turn_id,
        message=message,
        history=_history(db, message, history_limit),
        reply_seq=last_seq + 1,
        started_at=now,
        attempt_of_existing=known is not None,
        idempotency_key=new.idempotency_key,
    )


def renew_lease(db: sqlite3.Connection, turn: StartedTurn, lease_seconds: float) -> None:
    """Do what :meth:`store.ThreadStore.renew_lease` promises."""
    until = utcnow().timestamp() + lease_seconds
    sql = "UPDATE threads SET lease_until = ? WHERE id = ? AND lease_turn_id = ?"
    if not db.execute(sql, (until, turn.thread.id, turn.turn_id)).rowcount:
        raise LeaseLost


def commit_turn(
    db: sqlite3.Connection, turn: StartedTurn, message: Message, reply: Message | None, final_event_id: int
) -> None:
    """Do what :meth:`store.ThreadStore.commit_turn` promises."""
    row = db.execute("SELECT * FROM threads WHERE id = ?", (turn.thread.id,)).fetchone()
    if row is None or row["lease_turn_id"] != turn.turn_id:
        if row is not None and _is_committed(db, message):
            return
        raise LeaseLost
    put_message(db, message)
    if reply:
        put_message(db, reply)
    last = reply or message
    updated_at = not_before(row["updated_at"])
    db.execute(
        f"UPDATE threads SET last_seq = ?, last_message_preview = ?, updated_at = ?, sort = ?, {NO_LEASE} WHERE id = ?",  # noqa: S608 - our own
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
    problem = message.problem.model_dump_json() if message.problem else None
    reply_seq = reply.seq if reply else None
    started_at, ended_at = turn.started_at.timestamp(), utcnow().timestamp()
    _insert_turn(db, turn.thread.id, turn.turn_id, message.status, reply_seq, problem, started_at, ended_at, final_event_id)


def request_cancel(db: sqlite3.Connection, owner: Owner, thread_id: str, turn_id: str) -> None:
    """Do what :meth:`store.ThreadStore.request_cancel` promises."""
    if get_turn(db, thread_row(db, owner, thread_id), turn_id)[0].status != "running":
        raise TurnEnded
    db.execute("UPDATE threads SET lease_cancel_requested = 1 WHERE id = ?", (thread_id,))


def is_cancel_requested(db: sqlite3.Connection, turn: StartedTurn) -> bool:
    """Do what :meth:`store.ThreadStore.is_cancel_requested` promises."""
    sql = "SELECT lease_cancel_requested FROM threads WHERE id = ? AND lease_turn_id = ?"
    row = db.execute(sql, (turn.thread.id, turn.turn_id)).fetchone()
    if row is None:
        raise LeaseLost
    return bool(row["lease_cancel_requested"])


def get_progress(db: sqlite3.Connection, owner: Owner, thread_id: str, turn_id: str, after: int | None) -> TurnProgress | None:
    """Do what :meth:`store.ThreadStore.get_progress` promises; ``None`` if the turn is to be ended first, as it has expired."""
    thread = thread_row(db, owner, thread_id)
    turn, final_event_id = get_turn(db, thread, turn_id)
    if turn.status == "interrupted" and thread["lease_turn_id"] == turn_id:
        return None
    events = [] if after is None else _events(db, turn, after)
    return TurnProgress(turn, events, final_event_id)


def end_expired_turn(db: sqlite3.Connection, thread: Any) -> bool:
    """End the turn that a thread's row is leased to as interrupted, if the lease has expired; its message stays."""
    if thread["lease_turn_id"] is None or thread["lease_until"] > utcnow().timestamp():
        return False
    id, seq, updated_at = thread["id"], thread["lease_seq"], not_before(thread["updated_at"])
    status: TurnStatus = "interrupted"
    message = _message(db, id, seq).model_copy(update={"status": status})
    put_message(db, message)
    shown = preview(message.content) if seq == thread["last_seq"] else thread["last_message_preview"]
    db.execute(
        f"UPDATE threads SET last_message_preview = ?, updated_at = ?, sort = ?, {NO_LEASE} WHERE id = ?",  # noqa: S608 - our own
        (shown, updated_at.timestamp(), sort_key(updated_at, id), id),
    )
    problem = Problem.of(TurnInterrupted()).model_dump_json()
    started_at, ended_at = thread["lease_started_at"], thread["lease_until"]
    _insert_turn(db, id, thread["lease_turn_id"], status, None, problem, started_at, ended_at, None)
    return True


def get_turn(db: sqlite3.Connection, thread: Any, turn_id: str) -> tuple[Turn, int | None]:
    """Return a turn of a thread's row, and the number of its final event.

    :raises TurnNotFound: if there is none.
    """
    if thread["lease_turn_id"] == turn_id:
        running = thread["lease_until"] > utcnow().timestamp()
        turn = Turn(
            id=turn_id,
            thread_id=thread["id"],
            status="running" if running else "interrupted",
            problem=None if running else Problem.of(TurnInterrupted()),
            started_at=moment(thread["lease_started_at"]),
            ended_at=None if running else moment(thread["lease_until"]),
        )
        return turn, None
    row = db.execute("SELECT * FROM turns WHERE thread_id = ? AND id = ?", (thread["id"], turn_id)).fetchone()
    if row is None:
        raise TurnNotFound(turn_id)
    message = _message(db, thread["id"], row["reply_seq"]) if row["reply_seq"] else None
    return _as_turn(row).model_copy(update={"message": message}), row["final_event_id"]


def list_turns(db: sqlite3.Connection, owner: Owner, thread_id: str, limit: int, after: str | None) -> list[Turn]:
    """Do what :meth:`store.ThreadStore.list_turns` promises."""
    thread_row(db, owner, thread_id)
    sql = "SELECT * FROM turns WHERE thread_id = ? AND id > ? ORDER BY id LIMIT ?"
    return [_as_turn(row) for row in db.execute(sql, (thread_id, after or "", limit))]


def save_events(db: sqlite3.Connection, batches: list[EventBatch]) -> None:
    """Do what :meth:`store.ThreadStore.save_events` promises; what may be forgotten goes."""
    now = utcnow().timestamp()
    db.execute("DELETE FROM events WHERE expires_at <= ?", (now,))
    # Not for a thread that is gone: the reference would not hold.
    db.executemany(
        "INSERT INTO events SELECT ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM threads WHERE id = ?) "
        "ON CONFLICT DO UPDATE SET last = excluded.last, expires_at = excluded.expires_at, events = excluded.events",
        [
            (
                batch.thread_id,
                batch.turn_id,
                batch.events[0].id,
                batch.events[-1].id,
                now + batch.seconds_to_live,
                (b"[" + b",".join(event.to_json() for event in batch.events) + b"]").decode(),
                batch.thread_id,
            )
            for batch in batches
        ],
    )


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
    )


def _insert_turn(db: sqlite3.Connection, *values: str | float | None) -> None:
    db.execute("INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def _message(db: sqlite3.Connection, thread_id: str, seq: int) -> Message:
    message = find_message(db, thread_id, seq)
    if message is None:
        raise LookupError(f"message {seq} of {thread_id} is missing")
    return message


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
    stored = find_message(db, message.thread_id, message.seq)
    return stored is not None and (stored.turn_id, stored.status) == (message.turn_id, message.status)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
