"""The documents of the Cosmos DB store: their fields, and how records become documents and back.

``messages`` holds, per thread, one ``thread`` document, one ``message`` document per message, one ``turn`` document per turn
that has ended, one ``key`` document per Idempotency-Key, one ``feedback`` document per answer and author in conversations of
several, and for a while ``events`` documents. ``threads`` holds one row per thread, for listing, the owner's erasures, and one
``user_state`` document. A message that is being answered is not a document yet: it stands in its thread's lease.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import Field

from errors import TurnInterrupted
from models import (
    Message,
    Metadata,
    Owner,
    Problem,
    Thread,
    ThreadStatus,
    Turn,
    TurnStatus,
    message_id,
    utcnow,
)
from records import Record, is_empty
from stores.cosmos.lease_document import Lease, OpenTurn
from stores.cursors import sort_key
from stores.types import NewTurn, Pause, StartedTurn, TurnEnd

Document = dict[str, Any]
THREAD_STATUSES = get_args(ThreadStatus.__value__)
# Of the documents' fields, in each as `v`; those of before have none. A release that gives a field another meaning raises it.
VERSION = 1


class ThreadDocument(Record):
    """A thread's document: the truth about the thread. ``rev`` grows with every change that its row must show,
    and with every change of its messages but feedback.

    One that is ``deleting`` is also ``marked``, for queries: only what is there costs its place in the index.
    """

    v: int = 0
    id: str
    thread_id: str
    type: Literal["thread"]
    owner_hash: str
    tenant: str
    user: str
    title: str | None
    # As it is stored: a newer release may have added one, and the row must show it too.
    status: str
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    last_seq: int
    last_message_preview: str | None
    rev: int
    deleting: bool
    lease: Lease | None
    external_id: str | None = None
    open: OpenTurn | None = Field(None, exclude_if=is_empty)
    # The tools that need not ask, and since when.
    approvals: dict[str, str] = Field({}, exclude_if=is_empty)

    @property
    def thread(self) -> Thread:
        """The thread as callers see it."""
        fields = self.model_dump(include=_THREAD_FIELDS)
        status = self.status if self.status in THREAD_STATUSES else "active"
        return Thread(
            **{**fields, "status": status},
            message_count=self.last_seq + (self.pending is not None),
            open_turn_id=self.open.turn_id if self.open else None,
        )

    @property
    def pending(self) -> Message | None:
        """The message that stands in the lease."""
        if self.lease is None or self.lease.message is None:
            return None
        return Message(
            id=message_id(self.id, self.last_seq + 1),
            thread_id=self.id,
            seq=self.last_seq + 1,
            role="user",
            content=self.lease.message.content,
            timestamp=self.lease.message.timestamp,
            status=self.lease.message_status,
            turn_id=self.lease.turn_id,
            tool_calls=self.lease.acted,
            metadata=self.lease.message.metadata,
        )

    def public_view(self, message: Message) -> Message:
        """Return a stored message as callers see it: running or interrupted if the lease is answering it again."""
        if self.lease is None or self.lease.seq != message.seq:
            return message
        return answering_again(message, self.lease)

    def now_not_before(self) -> datetime:
        """Return the time now, or the later one that another process's clock has left."""
        return max(utcnow(), self.updated_at)


class KeyDocument(Record):
    """An Idempotency-Key's document: ``seq`` is its message's place once that is a document, ``reply_seq`` its answer's."""

    v: int = 0
    id: str
    thread_id: str
    type: Literal["key"]
    fingerprint: str
    turn_id: str
    # As it is stored, whatever it means: it is compared.
    status: str
    seq: int | None
    reply_seq: int | None


class TurnDocument(Record):
    """The document of a turn that has ended; ``reply_seq`` is its answer's place."""

    v: int = 0
    id: str
    thread_id: str
    type: Literal["turn"]
    status: TurnStatus
    reply_seq: int | None
    problem: Problem | None
    started_at: datetime
    ended_at: datetime
    final_event_id: int | None
    events_kept: bool = True
    pause: Pause | None = Field(None, exclude_if=is_empty)
    continues: str | None = Field(None, exclude_if=is_empty)
    continued_by: str | None = Field(None, exclude_if=is_empty)
    cancelled_turn_id: str | None = Field(None, exclude_if=is_empty)

    @property
    def turn(self) -> Turn:
        """The turn as callers see it, without its message."""
        return Turn(**self.model_dump(include=_TURN_FIELDS))


_TURN_FIELDS = set(Turn.model_fields) - {"message"}
_THREAD_FIELDS = set(Thread.model_fields) - {"message_count", "open_turn_id"}
_MAY_BE_EMPTY = ("tool_calls", "citations", "metadata")


def answering_again(message: Message, lease: Lease) -> Message:
    """Return an existing message as the lease's turn sees it."""
    calls = lease.acted or message.tool_calls
    fields = {"status": lease.message_status, "turn_id": lease.turn_id, "problem": None, "tool_calls": calls}
    return message.model_copy(update=fields)


def new_thread_document(owner: Owner, thread: Thread) -> Document:
    """Return the document of a new, empty thread."""
    document = ThreadDocument(
        v=VERSION,
        **thread.model_dump(include=_THREAD_FIELDS),
        thread_id=thread.id,
        type="thread",
        owner_hash=owner.hash,
        tenant=owner.tenant,
        user=owner.user,
        last_seq=0,
        rev=1,
        deleting=False,
        lease=None,
    )
    return document.model_dump(mode="json")


def new_key_document(thread_id: str, id: str, new: NewTurn, *, seq: int | None = None) -> Document:
    """Return the document of an Idempotency-Key whose first turn begins, for the message at ``seq`` if it is there already."""
    document = KeyDocument(
        v=VERSION,
        id=id,
        thread_id=thread_id,
        type="key",
        fingerprint=new.fingerprint,
        turn_id=new.turn_id,
        status="running",
        seq=seq,
        reply_seq=None,
    )
    return document.model_dump(mode="json")


def turn_document(turn: StartedTurn, end: TurnEnd) -> Document:
    """Return the document of a turn that ends now."""
    document = TurnDocument(
        v=VERSION,
        id=turn.turn_id,
        thread_id=turn.thread.id,
        type="turn",
        status=end.message.status,
        reply_seq=end.reply.seq if end.reply else None,
        problem=end.message.problem,
        started_at=turn.started_at,
        ended_at=utcnow(),
        final_event_id=end.final_event_id,
        events_kept=turn.events_kept,
        pause=end.pause,
        continues=turn.continues,
        cancelled_turn_id=turn.cancelled_turn_id,
    )
    return document.model_dump(mode="json", exclude={"events_kept"} if turn.events_kept else None)


def interrupted_turn_document(thread_id: str, lease: Lease) -> Document:
    """Return the document of a turn whose lease has expired."""
    document = TurnDocument(
        v=VERSION,
        id=lease.turn_id,
        thread_id=thread_id,
        type="turn",
        status="interrupted",
        reply_seq=None,
        problem=Problem.of(TurnInterrupted()),
        started_at=lease.started_at,
        ended_at=lease.ended_at,
        final_event_id=None,
        continues=lease.continues,
        cancelled_turn_id=lease.cancelled_turn_id,
    )
    return document.model_dump(mode="json", exclude={"events_kept"})


def key_id(idempotency_key: str) -> str:
    """Return the id of an Idempotency-Key's document: a hash, as a caller's text may hold what an id must not."""
    return f"key_{hashlib.sha256(idempotency_key.encode()).hexdigest()}"


def message_document(message: Message) -> Document:
    """Return a message's document, without lists and metadata that are empty."""
    fields = message.model_dump(mode="json", exclude={name for name in _MAY_BE_EMPTY if not getattr(message, name)})
    return {**fields, "type": "message", "v": VERSION}


def row_document(document: ThreadDocument) -> Document:
    """Return the thread's row in the container ``threads``."""
    return {
        **document.thread.model_dump(mode="json", exclude={"open_turn_id"}),
        "open": {"turn_id": document.open.turn_id} if document.open else None,
        "status": document.status,
        "v": VERSION,
        "owner_id": document.owner_hash,
        "rev": document.rev,
        "sort": sort_key(document.updated_at, document.id),
        "deleting": False,
    }
