"""What one person wrote in conversations of several, in SQLite. Each function is part of one transaction."""

from __future__ import annotations

import sqlite3

from calls import CANCELLED, Decider
from models import AUTHOR_ID, CONVERSATIONS, Message, Owner, utcnow
from stores.preview import preview
from stores.sqlite.continuations import reply_seqs
from stores.sqlite.feedback import erase_author_feedback
from stores.sqlite.rows import owned_ref, put_message, stored_message, thread_row
from stores.sqlite.turns import close_pause, end_expired_turn
from stores.types import ErasedExchanges, OwnedRef

AUTHOR = f"json_extract(record, '$.metadata.{AUTHOR_ID}')"


def threads_of_author(db: sqlite3.Connection, author_id: str) -> list[OwnedRef]:
    """Do what :meth:`ThreadStore.threads_of_author` promises."""
    wrote = f"EXISTS (SELECT 1 FROM messages WHERE thread_id = threads.id AND {AUTHOR} = :author)"  # noqa: S608 - our own name
    rated = "id IN (SELECT thread_id FROM author_feedback WHERE author_id = :author)"
    sql = f"SELECT id, tenant, user FROM threads WHERE tenant GLOB :tenants AND ({wrote} OR {rated})"  # noqa: S608 - the same
    return [owned_ref(row) for row in db.execute(sql, {"tenants": f"{CONVERSATIONS}*", "author": author_id})]


def erase_exchanges(db: sqlite3.Connection, owner: Owner, thread_id: str, author_id: str) -> ErasedExchanges:
    """Do what :meth:`ThreadStore.erase_exchanges` promises."""
    end_expired_turn(db, thread_row(db, owner, thread_id))
    thread = thread_row(db, owner, thread_id)
    if thread["open_turn_id"]:
        question = stored_message(db, thread_id, thread["open_question_seq"])
        if question.metadata.get(AUTHOR_ID) == author_id:
            close_pause(db, thread, Decider(author_id, utcnow(), CANCELLED))
    sql = f"SELECT record FROM messages WHERE thread_id = ? AND {AUTHOR} = ?"  # noqa: S608 - our own name
    rows = db.execute(sql, (thread_id, author_id)).fetchall()
    written = [Message.model_validate_json(row["record"]) for row in rows]
    questions = [message for message in written if message.seq != thread["lease_seq"]]
    messages = [*questions, *_replies(db, questions)]
    for message in messages:
        put_message(db, message.erased())
        db.execute("UPDATE turns SET pause = NULL WHERE thread_id = ? AND id = ?", (thread_id, message.turn_id))
    erase_author_feedback(db, thread_id, author_id, messages)
    if messages:
        db.execute("DELETE FROM events WHERE thread_id = ? AND turn_id IS NOT ?", (thread_id, thread["lease_turn_id"]))
    if thread["last_message_preview"] in {preview(message.content) for message in messages}:
        db.execute("UPDATE threads SET last_message_preview = '' WHERE id = ?", (thread_id,))
    return ErasedExchanges(len(messages), unfinished=len(written) > len(questions))


def _replies(db: sqlite3.Connection, questions: list[Message]) -> list[Message]:
    seqs = [seq for each in questions for seq in reply_seqs(db, each.thread_id, each.turn_id)]
    return [stored_message(db, questions[0].thread_id, seq) for seq in seqs]
