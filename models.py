"""The records: owners and their state, threads, messages, tool calls, turns, and how their ids are made.

All are immutable. Threads, messages and turns are shown to API callers as they are.
"""

from __future__ import annotations

import hashlib
import math
import re
import uuid
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Self, TypeVar

from pydantic import Field, JsonValue, model_validator
from pydantic_core import to_json
from typing_extensions import TypeAliasType

from calls import ToolCall
from errors import ChatError
from errors.explain import explain
from records import Record, is_none

T = TypeVar("T")
Metadata = dict[str, JsonValue]
# Under these names in the OpenAPI document, too: generated clients have one type for each.
ThreadStatus = TypeAliasType("ThreadStatus", Literal["active", "archived"])
TurnStatus = TypeAliasType("TurnStatus", Literal["running", "paused", "completed", "failed", "cancelled", "interrupted"])
ErasureStatus = TypeAliasType("ErasureStatus", Literal["running", "completed"])
Order = TypeAliasType("Order", Literal["asc", "desc"])
Rating = TypeAliasType("Rating", Literal["up", "down"])

THREAD_ID_PATTERN = r"^thread_[0-9a-f]{32}$"
TURN_ID_PATTERN = r"^turn_[0-9a-f]{32}$"
ERASURE_ID_PATTERN = r"^erasure_[0-9a-f]{32}$"
MESSAGE_ID_PATTERN = r"^msg_[0-9a-f]{32}_[1-9][0-9]{0,8}$"
PREVIEW_LENGTH = 120
# Who wrote a message, in the metadata of one that stands in a conversation of several people.
AUTHOR_ID = "author_id"
ERASED: Metadata = {"erased": True}
MAX_COMMENT = 2000


# How the tenants of owners begin that are conversations of the bot. A colon is in no tenant of an API key or of Entra ID.
CONVERSATIONS = "bot:"


class Owner(NamedTuple):
    """Who a request acts for: a user of a tenant."""

    tenant: str
    user: str

    @property
    def is_conversation(self) -> bool:
        """Whether it is a conversation of the bot that owns what several people, or nobody known, have written in it."""
        return self.tenant.startswith(CONVERSATIONS)

    @property
    def hash(self) -> str:
        """The owner as 64 hex digits: safe in queries, predicates and partition keys.

        Anybody can compute it: telemetry has :func:`observability.owner_hash.owner_hash`.
        """
        return hashlib.sha256(to_json([self.tenant, self.user])).hexdigest()


class Thread(Record):
    """A conversation of one owner. ``message_count`` includes a message that is being answered."""

    id: str
    title: str | None
    status: ThreadStatus
    metadata: Metadata
    created_at: datetime
    updated_at: datetime = Field(description="Time of the last activity.")
    message_count: int
    last_message_preview: str | None = Field(description=f"The last message's first {PREVIEW_LENGTH} characters.")
    external_id: str | None = Field(None, description="The caller's own session id, of a thread that was made for one.")
    open_turn_id: str | None = Field(
        None, exclude_if=is_none, description="The paused turn whose tool calls wait for somebody, if there is one."
    )


class Problem(Record):
    """An error as callers see it (RFC 9457)."""

    type: str = Field(description="Stable slug to match on.")
    title: str
    status: int
    detail: str
    retryable: bool
    retry_after: int | None = Field(None, exclude_if=is_none, description="Seconds to wait before trying again.")
    request_id: str | None = Field(None, exclude_if=is_none)

    @classmethod
    def of(cls, error: ChatError, request_id: str | None = None, *, cause: BaseException | None = None) -> Self:
        """Describe an error to a caller; in ``DEV_MODE`` with its ``cause``, which is nobody's business otherwise."""
        why = explain(cause) if cause else ""
        return cls(
            type=error.type,
            title=error.title,
            status=error.status,
            detail=f"{error.detail} {why}" if why else error.detail,
            retryable=error.retryable,
            retry_after=None if error.retry_after is None else max(1, math.ceil(error.retry_after)),
            request_id=request_id,
        )


class Citation(Record):
    """A source that an answer points to with the mark ``[index]`` in its text."""

    index: int
    id: str = Field(description="The source's own id, such as its article's.")
    title: str
    url: str | None
    snippet: str


class Feedback(Record):
    """What a reader thought of an answer."""

    rating: Rating
    comment: str | None = Field(None, max_length=MAX_COMMENT)
    timestamp: datetime


class Message(Record):
    """One message of a thread. ``seq`` counts from 1 without gaps; ``problem`` is there when ``status`` is ``failed``.

    An answer's ``tool_calls`` are those of its turn. A user's message has those that acted in attempts that left no answer.
    """

    id: str
    thread_id: str
    seq: int
    role: Literal["user", "assistant"]
    content: str
    reasoning: str | None = Field(
        None,
        exclude_if=is_none,
        description="What the model thought before it answered; only for who asks with `reasoning=true`.",
    )
    timestamp: datetime
    status: TurnStatus
    turn_id: str
    tool_calls: list[ToolCall] = Field([])
    citations: list[Citation] = Field([])
    metadata: Metadata = Field({})
    problem: Problem | None = Field(None, exclude_if=is_none)
    feedback: Feedback | None = Field(None, exclude_if=is_none)

    @property
    def is_erased(self) -> bool:
        """Whether its text was erased, and only its place is left."""
        return not self.content and self.metadata == ERASED

    @property
    def open_calls(self) -> list[ToolCall]:
        """Its tool calls that wait for somebody."""
        return [call for call in self.tool_calls if call.status == "open"]

    def erased(self) -> Message:
        """Return what is left when its text is erased: its place, its state and its times."""
        texts: dict[str, Any] = {"content": "", "reasoning": None, "tool_calls": [], "citations": []}
        return self.model_copy(update={**texts, "feedback": None, "metadata": ERASED})

    def without_reasoning(self) -> Message:
        """Return the message as who has not asked for its reasoning sees it."""
        return self if self.reasoning is None else self.model_copy(update={"reasoning": None})


class Turn(Record):
    """One attempt to answer a message, or to go on with a paused answer.

    It is ``paused`` when its reply has open tool calls; another turn may then go on. It is ``interrupted`` once its process
    has died and its lease has expired.
    """

    id: str
    thread_id: str
    status: TurnStatus
    message: Message | None = Field(None, exclude_if=is_none, description="The reply, as soon as there is one.")
    problem: Problem | None = Field(None, exclude_if=is_none, description="Why there is none.")
    started_at: datetime
    ended_at: datetime | None = None
    cancelled_turn_id: str | None = Field(
        None, exclude_if=is_none, description="The turn that was cancelled so that this one could begin (`interrupt`)."
    )
    continues: str | None = Field(None, exclude_if=is_none, description="The paused turn that this one goes on with.")
    continued_by: str | None = Field(None, exclude_if=is_none, description="The turn that went on with this paused one.")


class UserState(Record):
    """What channels remember about an owner: the ``thread_id`` in use there, and in ``values`` small things of their own.

    ``preferences`` are values for parameters of tools (:class:`tools.tool.Preference`).

    ``etag`` names the version that was read; it is ``None`` while nothing is stored.
    """

    thread_id: str | None = None
    preferences: dict[str, str] = Field({})
    last_feedback: datetime | None = None
    values: dict[str, JsonValue] = Field({})
    etag: str | None = Field(None, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _read_units(cls, stored: Any) -> Any:
        """Read what was stored when units were a field of their own."""
        if isinstance(stored, dict) and (units := stored.get("units")):
            return {**stored, "preferences": {"units": units, **stored.get("preferences", {})}}
        return stored


class Erasure(Record):
    """The erasure of everything that an owner has; once it is ``completed``, the receipt. It names no content."""

    id: str
    status: ErasureStatus
    threads: int = Field(description="Threads erased so far.")
    started_at: datetime
    ended_at: datetime | None = None


def new_id(prefix: Literal["thread", "turn", "erasure"]) -> str:
    """Return a new random id, such as ``thread_`` and 32 hex digits."""
    return f"{prefix}_{uuid.uuid4().hex}"


def session_thread_id(owner: Owner, external_id: str) -> str:
    """Return the id of an owner's thread for a session id of theirs: the same one on every instance, ever after."""
    return f"thread_{hashlib.sha256(to_json([owner.tenant, owner.user, external_id])).hexdigest()[:32]}"


def new_thread(*, title: str | None = None, metadata: Metadata | None = None) -> Thread:
    """Return a thread that is empty and about to be stored."""
    return _empty_thread(new_id("thread"), title, metadata or {}, None)


def new_session_thread(owner: Owner, external_id: str) -> Thread:
    """Return the thread for a session id, empty and about to be stored."""
    return _empty_thread(session_thread_id(owner, external_id), None, {}, external_id)


def _empty_thread(id: str, title: str | None, metadata: Metadata, external_id: str | None) -> Thread:
    now = utcnow()
    return Thread(
        id=id,
        title=title,
        status="active",
        metadata=metadata,
        created_at=now,
        updated_at=now,
        message_count=0,
        last_message_preview=None,
        external_id=external_id,
    )


def message_id(thread_id: str, seq: int) -> str:
    """Return the id of a thread's message: a function of its place, so that no message can be stored twice."""
    return f"msg_{thread_id.removeprefix('thread_')}_{seq}"


def message_seq(thread_id: str, id: str) -> int | None:
    """Return the sequence number in a message id, or ``None`` if the id is not one of this thread's messages."""
    if not re.fullmatch(MESSAGE_ID_PATTERN, id):
        return None
    _, thread_hex, seq = id.split("_")
    return int(seq) if thread_id == f"thread_{thread_hex}" else None


def utcnow() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 with microseconds: the same length always, so that text sorts as time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
