"""Turns in SQLite: the lease on a thread, and the commit. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from calls import WENT_ON, Decider, ToolCall, refuse_open
from errors import LeaseLost, TurnInProgress, TurnInterrupted
from models import Message, Owner, Problem, message_id, utcnow
from stores.cursors import sort_key
from stores.limits import StoreLimits
from stores.preview import preview
from stores.sqlite.idempotency_keys import answer_key, known_key, replay, store_key
from stores.sqlite.rows import (
    approvals,
    as_thread,
    has_expired_lease,
    now_not_before,
    put_message,
    stored_message,
    thread_row,
    turn_row,
)
from stores.telemetry import count_unknown
from stores.types import CancelRequested, NewMessage, NewTurn, ReplayedTurn, StartedTurn, TurnEnd

MESSAGES = TypeAdapter(list[Message])
CALLS = TypeAdapter(list[ToolCall])
NO_LEASE = (
    "lease_turn_id = NULL, lease_started_at = NULL, lease_until = NULL, lease_seq = NULL, lease_cancel_requested = 0, "
    "lease_calls = NULL, lease_cancelled_turn_id = NULL, lease_continues = NULL"
)
NOTHING_OPEN = "open_turn_id = NULL, open_seq = NULL, open_question_seq = NULL"


def begin_turn(
    db: sqlite3.Connection,
    owner: Owner,
    thread_id: str,
    new: NewMessage,
    lease_seconds: float,
    history_limit: int,
    limits: StoreLimits,
) -> StartedTurn | ReplayedTurn:
    """Do what :meth:`ThreadStore.begin_turn` promises."""
    row = thread_row(db, owner, thread_id)
    known = known_key(db, thread_id, new)
    if answered := replay(db, known):
        return answered
    if row["lease_turn_id"] and not end_expired_turn(db, row):
        raise in_progress(row)
    if known:
        message = message_again(db, thread_id, known["seq"], new)
    else:
        limits.check_messages(row["last_seq"])
        message = _store_new(db, thread_id, row["last_seq"] + 1, new)
    if row["open_turn_id"]:
        close_pause(db, row, Decider(owner.user, utcnow(), WENT_ON))
    now = take_lease(db, thread_id, new.turn_id, message.seq, lease_seconds, cancelled_turn_id=new.cancelled_turn_id)
    last_seq = max(row["last_seq"], message.seq)
    return StartedTurn(
        owner=owner,
        thread=as_thread(row).model_copy(update={"message_count": last_seq, "open_turn_id": None}),
        turn_id=new.turn_id,
        message=message,
        history=latest_messages(db, message, history_limit),
        reply_seq=last_seq + 1,
        started_at=now,
        is_retry=known is not None,
        idempotency_key=new.idempotency_key,
        allowed_tools=frozenset(approvals(row)),
        cancelled_turn_id=new.cancelled_turn_id,
    )


def take_lease(
    db: sqlite3.Connection,
    thread_id: str,
    turn_id: str,
    seq: int,
    lease_seconds: float,
    *,
    cancelled_turn_id: str | None = None,
    continues: str | None = None,
) -> datetime:
    """Give a turn the thread, for the message at ``seq``; return the time."""
    now = utcnow()
    db.execute(
        "UPDATE threads SET last_seq = max(last_seq, ?), lease_turn_id = ?, lease_started_at = ?, lease_until = ?, "
        "lease_seq = ?, lease_cancel_requested = 0, lease_calls = NULL, lease_cancelled_turn_id = ?, lease_continues = ? "
        "WHERE id = ?",
        (seq, turn_id, now.timestamp(), now.timestamp() + lease_seconds, seq, cancelled_turn_id, continues, thread_id),
    )
    return now


def in_progress(thread: Any) -> TurnInProgress:
    """Return the refusal of who comes while a thread's row is leased."""
    return TurnInProgress(retry_after=min(thread["lease_until"] - utcnow().timestamp(), 2), turn_id=thread["lease_turn_id"])


def record_calls(db: sqlite3.Connection, turn: StartedTurn, calls: Sequence[ToolCall]) -> None:
    """Do what :meth:`ThreadStore.record_calls` promises."""
    _write_lease(db, turn, "lease_calls", CALLS.dump_json(list(calls)).decode())


def close_pause(db: sqlite3.Connection, thread: Any, by: Decider) -> None:
    """End a thread's paused turn as cancelled: what is open of it is refused."""
    id, reply = thread["id"], stored_message(db, thread["id"], thread["open_seq"])
    put_message(db, reply.model_copy(update={"status": "cancelled", "tool_calls": refuse_open(reply.tool_calls, by)}))
    question = stored_message(db, id, thread["open_question_seq"])
    if question.status == "paused":
        put_message(db, question.model_copy(update={"status": "cancelled"}))
    db.execute(
        "UPDATE turns SET status = 'cancelled', pause = NULL WHERE thread_id = ? AND id = ?", (id, thread["open_turn_id"])
    )
    db.execute(f"UPDATE threads SET {NOTHING_OPEN} WHERE id = ?", (id,))  # noqa: S608 - our own


def find_replay(db: sqlite3.Connection, owner: Owner, thread_id: str, new: NewTurn) -> ReplayedTurn | None:
    """Do what :meth:`ThreadStore.find_replay` promises."""
    thread_row(db, owner, thread_id)
    return replay(db, known_key(db, thread_id, new))


def message_again(db: sqlite3.Connection, thread_id: str, seq: int, new: NewTurn) -> Message:
    """Return the message that an earlier turn has stored, which this one answers."""
    message = stored_message(db, thread_id, seq)
    message = message.model_copy(update={"status": "running", "turn_id": new.turn_id, "problem": None})
    put_message(db, message)
    return message


def _store_new(db: sqlite3.Connection, thread_id: str, seq: int, new: NewMessage) -> Message:
    """Store a new message and its Idempotency-Key."""
    message = _new_message(thread_id, seq, new)
    put_message(db, message)
    store_key(db, thread_id, new, message.seq)
    return message


def renew_lease(db: sqlite3.Connection, turn: StartedTurn, lease_seconds: float) -> None:
    """Do what :meth:`ThreadStore.renew_lease` promises."""
    _write_lease(db, turn, "lease_until", utcnow().timestamp() + lease_seconds)


def _write_lease(db: sqlite3.Connection, turn: StartedTurn, column: str, value: str | float) -> None:
    sql = f"UPDATE threads SET {column} = ? WHERE id = ? AND lease_turn_id = ?"  # noqa: S608 - our own name
    if not db.execute(sql, (value, turn.thread.id, turn.turn_id)).rowcount:
        raise LeaseLost


def commit_turn(db: sqlite3.Connection, turn: StartedTurn, end: TurnEnd) -> None:
    """Do what :meth:`ThreadStore.commit_turn` promises."""
    message, reply = end.message, end.reply
    row = db.execute("SELECT * FROM threads WHERE id = ?", (turn.thread.id,)).fetchone()
    if row is None or row["lease_turn_id"] != turn.turn_id:
        if row is not None and _is_committed(db, turn, end):
            return
        raise LeaseLost
    if end.pause and row["lease_cancel_requested"]:
        raise CancelRequested
    _put_messages(db, end)
    last = reply or message
    updated_at = now_not_before(row["updated_at"])
    is_open = end.pause is not None and reply is not None
    db.execute(
        "UPDATE threads SET last_seq = ?, last_message_preview = ?, updated_at = ?, sort = ?, "  # noqa: S608 - our own
        f"open_turn_id = ?, open_seq = ?, open_question_seq = ?, {NO_LEASE} WHERE id = ?",
        (
            max(row["last_seq"], last.seq),
            preview(last.content) if last.seq >= row["last_seq"] else row["last_message_preview"],
            updated_at.timestamp(),
            sort_key(updated_at, turn.thread.id),
            *((turn.turn_id, last.seq, message.seq) if is_open else (None, None, None)),
            turn.thread.id,
        ),
    )
    if reply:
        answer_key(db, turn, reply.seq)
    _insert_turn(
        db,
        thread_id=turn.thread.id,
        id=turn.turn_id,
        status=message.status,
        reply_seq=reply.seq if reply else None,
        problem=message.problem.model_dump_json() if message.problem else None,
        started_at=turn.started_at.timestamp(),
        ended_at=utcnow().timestamp(),
        final_event_id=end.final_event_id,
        events_kept=turn.events_kept,
        pause=end.pause.model_dump_json() if end.pause else None,
        cancelled_turn_id=row["lease_cancelled_turn_id"],
        continues=row["lease_continues"],
    )


def _put_messages(db: sqlite3.Connection, end: TurnEnd) -> None:
    for message in filter(None, (end.message, end.reply)):
        put_message(db, message)
    if settled := end.settled:
        # It may have been rated meanwhile.
        paused = stored_message(db, settled.thread_id, settled.seq)
        put_message(db, paused.model_copy(update={"tool_calls": settled.tool_calls}))


def end_expired_turn(db: sqlite3.Connection, thread: Any) -> bool:
    """End the turn that a thread's row is leased to as interrupted, if the lease has expired; its message stays."""
    if not has_expired_lease(thread):
        return False
    id, seq, updated_at = thread["id"], thread["lease_seq"], now_not_before(thread["updated_at"])
    acted = lease_calls(thread)
    message = interrupted(stored_message(db, id, seq), acted)
    put_message(db, message)
    count_unknown(call.tool for call in (*acted, *_approved(db, thread)))
    shown = preview(message.content) if seq == thread["last_seq"] else thread["last_message_preview"]
    db.execute(
        f"UPDATE threads SET last_message_preview = ?, updated_at = ?, sort = ?, {NO_LEASE} WHERE id = ?",  # noqa: S608 - our own
        (shown, updated_at.timestamp(), sort_key(updated_at, id), id),
    )
    _insert_turn(
        db,
        thread_id=id,
        id=thread["lease_turn_id"],
        status=message.status,
        reply_seq=None,
        problem=Problem.of(TurnInterrupted()).model_dump_json(),
        started_at=thread["lease_started_at"],
        ended_at=thread["lease_until"],
        final_event_id=None,
        cancelled_turn_id=thread["lease_cancelled_turn_id"],
        continues=thread["lease_continues"],
    )
    return True


def lease_calls(thread: Any) -> list[ToolCall]:
    """Return the calls that act of the turn that a thread's row is leased to."""
    return CALLS.validate_json(thread["lease_calls"] or "[]")


def interrupted(message: Message, acted: Sequence[ToolCall]) -> Message:
    """Return the message that an expired lease is for, with the calls that act of its turn."""
    return message.model_copy(update={"status": "interrupted", "tool_calls": [*message.tool_calls, *acted]})


def _approved(db: sqlite3.Connection, thread: Any) -> list[ToolCall]:
    """Return the calls that the turn which a thread's row is leased to was to make, and may have made."""
    if thread["lease_continues"] is None:
        return []
    paused = turn_row(db, thread["id"], thread["lease_continues"])
    reply = stored_message(db, thread["id"], paused["reply_seq"])
    return [call for call in reply.tool_calls if call.awaits and call.status == "unknown"]


def _insert_turn(db: sqlite3.Connection, **columns: str | float | None) -> None:
    names = ", ".join(columns)
    places = ", ".join(f":{name}" for name in columns)
    db.execute(f"INSERT INTO turns ({names}) VALUES ({places})", columns)  # noqa: S608 - our own names


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


def latest_messages(db: sqlite3.Connection, message: Message, limit: int) -> list[Message]:
    """Return a thread's latest messages but this one, oldest first."""
    # One row, because each row that is fetched costs a switch of threads under load.
    query = (
        "SELECT group_concat(record) FROM "
        "(SELECT record FROM messages WHERE thread_id = ? AND seq <> ? ORDER BY seq DESC LIMIT ?)"
    )
    (records,) = db.execute(query, (message.thread_id, message.seq, limit)).fetchone()
    history = MESSAGES.validate_json(f"[{records or ''}]")
    history.reverse()
    return history


def _is_committed(db: sqlite3.Connection, turn: StartedTurn, end: TurnEnd) -> bool:
    row = turn_row(db, turn.thread.id, turn.turn_id)
    return row is not None and end.may_have_left(row["status"])
