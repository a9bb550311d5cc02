"""Feedback on replies in SQLite."""

from __future__ import annotations

import sqlite3

from errors import MessageNotFound, NotAnAnswer
from models import Feedback, Message, Owner, message_seq
from stores.sqlite.rows import find_message, put_message, thread_row


def set_feedback(db: sqlite3.Connection, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
    """Do what :meth:`ThreadStore.set_feedback` promises, as part of one transaction."""
    thread_row(db, owner, thread_id)
    seq = message_seq(thread_id, message_id)
    message = find_message(db, thread_id, seq) if seq else None
    if message is None:
        raise MessageNotFound(message_id)
    if message.role != "assistant":
        raise NotAnAnswer(message_id)
    message = message.model_copy(update={"feedback": feedback})
    put_message(db, message)
    return message
