"""What stores take and give, besides the records that callers see."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeAlias, TypedDict, TypeVar

from pydantic import Field, JsonValue
from pydantic_core import to_json

from calls import ToolCall
from events import TurnEvent
from models import Feedback, Message, Metadata, Owner, Thread, ThreadStatus, Turn, TurnStatus
from records import Record, canonical

T = TypeVar("T")
# In which team a conversation is, in the metadata of its threads.
TEAM_KEY = "team_key"


class OwnedRef(NamedTuple):
    """Something of an owner's, by its id."""

    owner: Owner
    id: str


class ThreadChanges(TypedDict, total=False):
    """The fields of a thread that its owner may change; a missing key leaves the field as it is."""

    title: str | None
    metadata: Metadata
    status: ThreadStatus


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list; ``next_cursor`` is ``None`` on the last one."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A user's message that asks for a turn. ``turn_id`` is new for every request: it also names the turn's lease.

    ``cancelled_turn_id`` is the turn that was cancelled so that this one could begin.
    """

    turn_id: str
    content: str
    metadata: Metadata
    idempotency_key: str | None = None
    tools: Sequence[dict[str, JsonValue]] = ()
    cancelled_turn_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """What must be equal when an Idempotency-Key comes again: a hash of content, metadata and the client's own tools."""
        tools = [[canonical(tool) for tool in self.tools]] if self.tools else []
        return _hash([self.content, canonical(self.metadata), *tools])


@dataclass(frozen=True, slots=True)
class NewContinuation:
    """What goes on with a paused turn; ``turn_id`` is new for every request.

    ``calls`` are all calls of the paused reply, as they have been decided about: approved ones count as started
    (:meth:`~calls.ToolCall.approved`). They are ``None`` where nothing is open any more: then it may only be a repetition.
    ``approved`` are the ids of those that this turn has to run. ``decisions`` is what the caller said, for the
    Idempotency-Key. ``remembered`` are tools that need not ask again in the thread.
    """

    turn_id: str
    paused_turn_id: str
    calls: Sequence[ToolCall] | None
    decisions: JsonValue
    approved: frozenset[str] = frozenset()
    remembered: frozenset[str] = frozenset()
    idempotency_key: str | None = None

    @property
    def fingerprint(self) -> str:
        """What must be equal when an Idempotency-Key comes again: a hash of the paused turn and the decisions."""
        return _hash([self.paused_turn_id, canonical(self.decisions)])


NewTurn: TypeAlias = NewMessage | NewContinuation


class Pause(Record):
    """What a paused turn keeps for the one that goes on with it.

    ``tools`` are the client's own (name, description, JSON Schema of the parameters), ``carried`` what the model needs back
    before the calls of the reply, as text of the model's wire, by the id of the first of them.
    """

    tools: list[dict[str, JsonValue]] = Field([])
    carried: dict[str, str] = Field({})


class CancelRequested(Exception):
    """A turn cannot pause: somebody has asked it to stop."""


class Approval(Record):
    """A tool that need not ask any more in a thread, and since when."""

    tool: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """A turn that holds its thread's lease since ``started_at``.

    ``message`` is the user's (status ``running``), ``history`` what came before it, oldest first, without it; feedback may be
    missing there. The answer will get the sequence number ``reply_seq``. ``is_retry`` says that the message was stored by an
    earlier attempt, ``events_kept`` whether its events will be stored, which its end tells those who follow it.

    One that goes on with a paused turn has the replies so far in ``paused``, oldest first: the last one is what it goes on
    with, its calls decided about, and ``pause`` what was kept for it. Of those calls it runs the ``approved`` ones, by id:
    there are none in a later attempt. ``continues`` is the paused turn. ``allowed_tools`` need not ask in this thread.
    ``cancelled_turn_id`` is as in :class:`NewMessage`.
    """

    owner: Owner
    thread: Thread
    turn_id: str
    message: Message
    history: Sequence[Message]
    reply_seq: int
    started_at: datetime
    is_retry: bool
    idempotency_key: str | None
    events_kept: bool = True
    paused: Sequence[Message] = ()
    pause: Pause | None = None
    continues: str | None = None
    approved: frozenset[str] = frozenset()
    allowed_tools: frozenset[str] = frozenset()
    cancelled_turn_id: str | None = None


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a turn ends: the user's ``message`` in its final state, whose status is the turn's, and the reply, if any.

    ``final_event_id`` is the number of the event that will end it. ``settled`` is the paused reply that the turn went on with,
    its calls with their outcomes. A turn that pauses has its ``pause``.
    """

    message: Message
    reply: Message | None
    final_event_id: int
    settled: Message | None = None
    pause: Pause | None = None

    def may_have_left(self, status: TurnStatus) -> bool:
        """Tell whether a turn that ended like this may have that status now: a paused one may have been cancelled since."""
        return status == self.message.status or (self.pause is not None and status == "cancelled")


@dataclass(frozen=True, slots=True)
class ReplayedTurn:
    """The Idempotency-Key's turn has completed before: here is its answer."""

    message: Message


class ErasedExchanges(NamedTuple):
    """How many messages were erased; ``unfinished`` says that some of them could not be yet."""

    messages: int
    unfinished: bool


class AuthorFeedback(Record):
    """What one of several people in a conversation thinks of an answer."""

    message_id: str
    feedback: Feedback


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of one turn that follow each other, and when they may be forgotten.

    ``thread_created_at`` tells the thread from one that was made anew under its id, if that is known.
    """

    thread_id: str
    turn_id: str
    events: Sequence[TurnEvent]
    seconds_to_live: int
    thread_created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TurnProgress:
    """A turn, and its stored events behind the one that was asked for.

    ``final_event_id`` is the number of the event that ended it; ``None`` while it runs and if its process died.
    ``events_kept`` is ``False`` for a turn that has ended and stored none.
    """

    turn: Turn
    events: Sequence[TurnEvent]
    final_event_id: int | None
    events_kept: bool = True


def _hash(value: Any) -> str:
    return hashlib.sha256(to_json(value)).hexdigest()
