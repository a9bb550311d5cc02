"""What must hold in the store itself, read past the API."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.fakes.cosmos import FakeCosmos
from tests.programs.chaos.invariants import Found
from tests.programs.chaos.journal import Conversation

LEFT_BEHIND = ("message", "turn", "key", "thread")


def check_sqlite(path: Path, conversations: Iterable[Conversation]) -> Found:
    """Look at the tables of a SQLite file."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        if (sound := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            yield "lost", f"the file is damaged: {sound}"
        if orphans := db.execute("PRAGMA foreign_key_check").fetchall():
            yield "wrong", f"{len(orphans)} rows without their thread"
        threads = {row["id"]: row for row in db.execute("SELECT * FROM threads")}
        for id, row in threads.items():
            found = db.execute("SELECT record FROM messages WHERE thread_id = ? ORDER BY seq", (id,))
            yield from _check_messages(id, row["last_seq"], [json.loads(each["record"]) for each in found])
            if row["lease_turn_id"] is not None:
                yield "stuck", f"thread {id} is leased to {row['lease_turn_id']}"
        for row in db.execute(
            "SELECT thread_id, reply_seq, COUNT(*) AS keys FROM idempotency_keys "
            "WHERE reply_seq > 0 GROUP BY 1, 2 HAVING keys > 1"
        ):
            yield "doubled", f"thread {row['thread_id']}: reply {row['reply_seq']} has {row['keys']} keys"
        for conversation in conversations:
            if conversation.deleted == (conversation.id in threads):
                yield "lost", f"thread {conversation.id}: deleted is {conversation.deleted}"


def check_cosmos(fake: FakeCosmos, conversations: Iterable[Conversation]) -> Found:
    """Look at the documents of the account."""
    rows = {row["id"]: row for row in fake.container("threads").everything()}
    for conversation in conversations:
        documents = list(fake.container("messages").documents(conversation.id).values())
        row = rows.get(conversation.id)
        if conversation.deleted:
            if left := Counter(each["type"] for each in documents if each["type"] in LEFT_BEHIND):
                yield "wrong", f"thread {conversation.id} is deleted and has left {left}"
            if row:
                yield "wrong", f"thread {conversation.id} is deleted and still listed"
            continue
        threads = [each for each in documents if each["type"] == "thread"]
        if not threads or row is None:
            yield "lost", f"thread {conversation.id} has {len(threads)} documents and the row {row}"
            continue
        (thread,) = threads
        messages = sorted((each for each in documents if each["type"] == "message"), key=lambda each: each["seq"])
        yield from _check_messages(conversation.id, thread["last_seq"], messages)
        yield from _check_keys(conversation.id, documents)
        if thread["lease"] is not None:
            yield "stuck", f"thread {conversation.id} is leased: {thread['lease']}"
        if row["rev"] != thread["rev"]:
            yield "wrong", f"thread {conversation.id} is at revision {thread['rev']}, its row at {row['rev']}"


def _check_messages(thread_id: str, last_seq: int, messages: list[dict[str, Any]]) -> Found:
    seqs = [message["seq"] for message in messages]
    if seqs != list(range(1, last_seq + 1)):
        yield "lost", f"thread {thread_id} stores the messages {seqs}, its last is {last_seq}"
    for message in messages:
        if message["status"] == "running":
            yield "stuck", f"thread {thread_id} stores message {message['seq']} as running"


def _check_keys(thread_id: str, documents: list[dict[str, Any]]) -> Found:
    keys = [each for each in documents if each["type"] == "key"]
    places = Counter(key["reply_seq"] for key in keys if key["reply_seq"] is not None)
    if doubled := [place for place, count in places.items() if count > 1]:
        yield "doubled", f"thread {thread_id}: several keys have the reply {doubled}"
    if running := [key["turn_id"] for key in keys if key["status"] == "running"]:
        yield "stuck", f"thread {thread_id} has keys that run: {running}"
