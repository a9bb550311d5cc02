"""Paused turns in SQLite: going on with one or cancelling it, and tools that need not ask. Each is part of one transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

from pydantic_core import to_json

from calls import Decider
from errors import CallsUndecided, TurnContinued, TurnEnded, TurnNotFound
from models import Owner, timestamp, utcnow
from stores.sqlite.idempotency_keys import known_key, replay, store_key
from stores.sqlite.rows import approvals, as_thread, put_message, stored_message, thread_row, turn_row
from stores.sqlite.turns import (
    NOTHING_OPEN,
    close_pause,
    end_expired_turn,
    in_progress,
    latest_messages,
    message_again,
    take_lease,
)
from stores.types import Approval, NewContinuation, Pause, ReplayedTurn, StartedTurn


def begin_continuation(
    db: sqlite3.Connection, owner: Owner, thread_id: str, new: NewContinuation, lease_seconds: float, history_limit: int
) -> StartedTurn | ReplayedTurn:
    """Do what :meth:`ThreadStore.begin_continuation` promises."""
    row = thread_row(db, owner, thread_id)
    known = known_key(db, thread_id, new)
    if answered := replay(db, known):
        return answered
    paused = _paused_turn(db, row, new.paused_turn_id)
    if row["lease_turn_id"]:
        if not end_expired_turn(db, row):
            if known and row["lease_continues"] == new.paused_turn_id:
                raise in_progress(row)
            raise TurnContinued
        row = thread_row(db, owner, thread_id)
    if known is None:
        question_seq = _decide(db, row, new)
    else:
        question_seq = known["seq"]
        if row["last_seq"] != paused["reply_seq"] or row["open_turn_id"]:
            raise TurnContinued
    question = message_again(db, thread_id, question_seq, new)
    db.execute("UPDATE turns SET continued_by = ? WHERE thread_id = ? AND id = ?", (new.turn_id, thread_id, new.paused_turn_id))
    started_at = take_lease(db, thread_id, new.turn_id, question_seq, lease_seconds, continues=new.paused_turn_id)
    row = thread_row(db, owner, thread_id)
    replies = reply_seqs(db, thread_id, new.paused_turn_id)
    earlier = latest_messages(db, question, history_limit + row["last_seq"] - replies[0] + 1)
    return StartedTurn(
        owner=owner,
        thread=as_thread(row),
        turn_id=new.turn_id,
        message=question,
        history=[message for message in earlier if message.seq < replies[0]][-history_limit:] if history_limit else [],
        reply_seq=row["last_seq"] + 1,
        started_at=started_at,
        is_retry=True,
        idempotency_key=new.idempotency_key,
        paused=[stored_message(db, thread_id, seq) for seq in replies],
        pause=Pause.model_validate_json(paused["pause"] or "{}"),
        continues=new.paused_turn_id,
        approved=new.approved if known is None else frozenset(),
        allowed_tools=frozenset(approvals(row)),
    )


def _paused_turn(db: sqlite3.Connection, thread: Any, turn_id: str) -> Any:
    """Return the row of a paused turn.

    :raises TurnNotFound, TurnEnded: if it is none.
    """
    found = turn_row(db, thread["id"], turn_id)
    if found is None:
        raise TurnEnded if thread["lease_turn_id"] == turn_id else TurnNotFound(turn_id)
    if found["status"] != "paused":
        raise TurnEnded
    return found


def _decide(db: sqlite3.Connection, row: Any, new: NewContinuation) -> int:
    """Put the decisions into the paused reply, and return the place of the message that it answers."""
    if row["open_turn_id"] != new.paused_turn_id:
        raise TurnContinued
    if new.calls is None:
        raise CallsUndecided
    reply = stored_message(db, row["id"], row["open_seq"])
    put_message(db, reply.model_copy(update={"tool_calls": list(new.calls)}))
    allowed = {tool: timestamp(utcnow()) for tool in new.remembered} | approvals(row)
    db.execute(
        f"UPDATE threads SET {NOTHING_OPEN}, approvals = ? WHERE id = ?",  # noqa: S608 - our own
        (to_json(allowed).decode(), row["id"]),
    )
    question_seq: int = row["open_question_seq"]
    store_key(db, row["id"], new, question_seq)
    return question_seq


def reply_seqs(db: sqlite3.Connection, thread_id: str, turn_id: str | None) -> list[int]:
    """Return the places of the replies of a turn and of those that it went on with, the oldest first."""
    seqs: list[int] = []
    while turn_id and (turn := turn_row(db, thread_id, turn_id)):
        seqs += [turn["reply_seq"]] if turn["reply_seq"] else []
        turn_id = turn["continues"]
    return seqs[::-1]


def cancel_paused(db: sqlite3.Connection, owner: Owner, thread_id: str, turn_id: str, by: Decider) -> None:
    """Do what :meth:`ThreadStore.cancel_paused` promises."""
    row = thread_row(db, owner, thread_id)
    if row["open_turn_id"] == turn_id:
        close_pause(db, row, by)
        return
    # One whose lease has expired is not among them before somebody ends it.
    is_known = row["lease_turn_id"] == turn_id or turn_row(db, thread_id, turn_id)
    raise TurnEnded if is_known else TurnNotFound(turn_id)


def list_approvals(db: sqlite3.Connection, owner: Owner, thread_id: str) -> list[Approval]:
    """Do what :meth:`ThreadStore.list_approvals` promises."""
    allowed = approvals(thread_row(db, owner, thread_id))
    return [Approval(tool=tool, created_at=created_at) for tool, created_at in sorted(allowed.items())]


def remove_approvals(db: sqlite3.Connection, owner: Owner, thread_id: str) -> None:
    """Do what :meth:`ThreadStore.remove_approvals` promises."""
    thread_row(db, owner, thread_id)
    db.execute("UPDATE threads SET approvals = NULL WHERE id = ?", (thread_id,))
