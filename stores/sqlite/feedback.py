"""Feedback on replies in SQLite. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from errors import MessageNotFound, NotAnAnswer
from models import Feedback, Message, Owner, message_id, message_seq
from stores.sqlite.rows import find_message, put_message, thread_row
from stores.types import AuthorFeedback


def set_feedback(db: sqlite3.Connection, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
    """Do what :meth:`ThreadStore.set_feedback` promises."""
    message = _answer(db, owner, thread_id, message_id).model_copy(update={"feedback": feedback})
    put_message(db, message)
    return message


def set_author_feedback(
    db: sqlite3.Connection, owner: Owner, thread_id: str, message_id: str, author_id: str, feedback: Feedback
) -> bool:
    """Do what :meth:`ThreadStore.set_author_feedback` promises."""
    message = _answer(db, owner, thread_id, message_id)
    if message.is_erased:
        raise NotAnAnswer(message_id)
    key, record = (thread_id, message.seq, author_id), feedback.model_dump_json()
    changed = "UPDATE author_feedback SET record = ? WHERE thread_id = ? AND seq = ? AND author_id = ?"
    if db.execute(changed, (record, *key)).rowcount:
        return False
    db.execute("INSERT INTO author_feedback VALUES (?, ?, ?, ?)", (*key, record))
    return True


def list_author_feedback(db: sqlite3.Connection, owner: Owner, thread_id: str, author_id: str) -> list[AuthorFeedback]:
    """Do what :meth:`ThreadStore.list_author_feedback` promises."""
    thread_row(db, owner, thread_id)
    sql = "SELECT seq, record FROM author_feedback WHERE thread_id = ? AND author_id = ? ORDER BY seq"
    return [
        AuthorFeedback(message_id=message_id(thread_id, row["seq"]), feedback=Feedback.model_validate_json(row["record"]))
        for row in db.execute(sql, (thread_id, author_id))
    ]


def erase_author_feedback(db: sqlite3.Connection, thread_id: str, author_id: str, erased: Iterable[Message]) -> None:
    """Erase what an author gave in a thread, and what anybody gave on messages that are erased."""
    db.execute("DELETE FROM author_feedback WHERE thread_id = ? AND author_id = ?", (thread_id, author_id))
    on_erased = [(thread_id, message.seq) for message in erased]
    db.executemany("DELETE FROM author_feedback WHERE thread_id = ? AND seq = ?", on_erased)


def _answer(db: sqlite3.Connection, owner: Owner, thread_id: str, message_id: str) -> Message:
    thread_row(db, owner, thread_id)
    seq = message_seq(thread_id, message_id)
    message = find_message(db, thread_id, seq) if seq else None
    if message is None:
        raise MessageNotFound(message_id)
    if message.role != "assistant":
        raise NotAnAnswer(message_id)
    return message
