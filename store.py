"""The thread store's contract: its records, its protocol, and how to open one.

Two stores keep it: ``cosmos_store.CosmosStore`` (production) and ``sqlite_store.SqliteStore`` (embedded). What each method
promises stands here; ``tests/test_store_contract.py`` holds both to it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, Protocol, Self, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import to_json

from errors import ChatError, InvalidCursor

if TYPE_CHECKING:
    from settings import Settings

T = TypeVar("T")
Metadata = dict[str, JsonValue]
ThreadStatus = Literal["active", "archived"]
TurnStatus = Literal["running", "completed", "failed", "cancelled", "interrupted"]
Order = Literal["asc", "desc"]

THREAD_ID_PATTERN = r"^thread_[0-9a-f]{32}$"
MESSAGE_ID_PATTERN = r"^msg_[0-9a-f]{32}_[1-9][0-9]{0,8}$"
PREVIEW_LENGTH = 120


class Owner(NamedTuple):
    """Who a request acts for: a user of a tenant."""

    tenant: str
    user: str

    @property
    def hash(self) -> str:
        """The owner as 64 hex digits: safe in queries, predicates, partition keys and logs."""
        return hashlib.sha256(to_json([self.tenant, self.user])).hexdigest()


class Record(BaseModel):
    """An immutable record, shown to API callers as it is."""

    model_config = ConfigDict(frozen=True)


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


class ToolCall(Record):
    """One call of a tool: it has either ``result`` (JSON) or ``error`` (plain words)."""

    id: str
    tool: str
    arguments: dict[str, JsonValue]
    result: JsonValue = None
    error: str | None = None
    duration_ms: int

    @model_serializer(mode="wrap")
    def _result_or_error(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        dumped.pop("result" if self.error is not None else "error", None)
        return dumped


class Problem(Record):
    """An error as callers see it (RFC 9457)."""

    type: str = Field(description="Stable slug to match on.")
    title: str
    status: int
    detail: str
    retryable: bool
    retry_after: int | None = Field(None, description="Seconds to wait before trying again.")
    request_id: str | None = None

    @classmethod
    def of(cls, error: ChatError, request_id: str | None = None) -> Self:
        """Describe an error to a caller."""
        return cls(
            type=error.type,
            title=error.title,
            status=error.status,
            detail=error.detail,
            retryable=error.retryable,
            retry_after=None if error.retry_after is None else max(1, math.ceil(error.retry_after)),
            request_id=request_id,
        )


class Message(Record):
    """One message of a thread. ``seq`` counts from 1 without gaps; ``problem`` is there when ``status`` is ``failed``."""

    id: str
    thread_id: str
    seq: int
    role: Literal["user", "assistant"]
    content: str
    timestamp: datetime
    status: TurnStatus
    turn_id: str
    tool_calls: list[ToolCall] = []
    metadata: Metadata = {}
    problem: Problem | None = None

    @model_serializer(mode="wrap")
    def _without_empty_problem(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        if self.problem is None:
            dumped.pop("problem", None)
        return dumped


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
    """A user's message that asks for a turn. ``turn_id`` is new for every request: it also names the turn's lease."""

    turn_id: str
    content: str
    metadata: Metadata
    idempotency_key: str | None = None

    @property
    def fingerprint(self) -> str:
        """What must be equal when an Idempotency-Key comes again: a hash of content and metadata."""
        canonical = to_json([self.content, _sorted(self.metadata)])
        return hashlib.sha256(canonical).hexdigest()


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """A turn that holds its thread's lease.

    ``message`` is the user's (status ``running``), ``history`` what came before it, oldest first, without it. The answer
    will get the sequence number ``reply_seq``. ``attempt_of_existing`` says that the message was stored by an earlier attempt.
    """

    owner: Owner
    thread: Thread
    turn_id: str
    message: Message
    history: Sequence[Message]
    reply_seq: int
    attempt_of_existing: bool
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class ReplayedTurn:
    """The Idempotency-Key's turn has completed before: here is its answer."""

    message: Message


class ThreadStore(AbstractAsyncContextManager["ThreadStore"], Protocol):
    """Threads and messages, safe with many processes at work on the same data.

    Use it as an async context manager: entering connects and checks, leaving waits for background writes and closes.

    Every method takes the owner; a thread of another owner is treated as one that does not exist. Every method may raise
    :class:`~errors.StoreUnavailable` (asked again later, it works) and :class:`~errors.StoreMisconfigured`; the methods
    below name only what else they raise. Reads see this process's own completed writes.
    """

    async def create_thread(self, owner: Owner, *, title: str | None, metadata: Metadata) -> Thread:
        """Create an empty thread and return it; from then on it is listed."""

    async def get_thread(self, owner: Owner, thread_id: str) -> Thread:
        """Return the thread.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def list_threads(self, owner: Owner, *, status: ThreadStatus | None, limit: int, cursor: str | None) -> Page[Thread]:
        """Return the owner's threads, latest activity first, at most ``limit``.

        Following the cursors shows every thread that did not change meanwhile exactly once; one that changed has moved to
        the front and may be missed, never doubled after its change. A thread's row may lag behind its last turn for the
        moment that a background write takes.

        :raises InvalidCursor: if ``cursor`` is not one that this method returned.
        """

    async def update_thread(self, owner: Owner, thread_id: str, changes: ThreadChanges) -> Thread:
        """Apply ``changes`` at once and return the thread; works while a turn runs.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def delete_thread(self, owner: Owner, thread_id: str) -> None:
        """Delete the thread and all its messages.

        The thread is gone for every other method at once, and a turn that runs in it loses its lease. A call that was
        stopped half-way is completed by calling again.

        :raises ThreadNotFound: if the owner has no such thread and there is nothing left of one.
        """

    async def list_messages(
        self, owner: Owner, thread_id: str, *, limit: int, after: int | None, before: int | None, order: Order
    ) -> Page[Message]:
        """Return messages with ``after < seq < before`` in the order of ``seq``, at most ``limit``.

        A user's message is there from the moment its turn has begun: ``running`` while the lease lives, ``interrupted``
        once it has expired. ``next_cursor`` is the last message's id.

        :raises ThreadNotFound: if the owner has no such thread.
        """

    async def begin_turn(
        self, owner: Owner, thread_id: str, new: NewMessage, *, lease_seconds: float, history_limit: int
    ) -> StartedTurn | ReplayedTurn:
        """Take the thread's lease and store the user's message, in one atomic write, and read the latest history.

        An expired lease of a turn that never ended is cleared first; its message stays as ``interrupted``. An
        Idempotency-Key that was used before in this thread, with the same fingerprint, gives the answer if its turn
        completed (or was cancelled), and else starts a new attempt for the message that is already there. Keys live as long
        as their thread.

        :raises ThreadNotFound: if the owner has no such thread.
        :raises TurnInProgress: if another turn, or one of the same key, holds the lease.
        :raises IdempotencyKeyReused: if the key came before with another fingerprint.
        """

    async def renew_lease(self, turn: StartedTurn, *, lease_seconds: float) -> None:
        """Let the lease live for ``lease_seconds`` from now.

        :raises LeaseLost: if the turn does not hold it any more.
        """

    async def commit_turn(self, turn: StartedTurn, *, message: Message, reply: Message | None) -> None:
        """End the turn: store the user's message in its final state and the reply, if any, and give the lease back.

        Atomic: everything is there afterwards, or nothing. Calling again after a failure whose outcome is unknown is safe.

        :raises LeaseLost: if the turn does not hold the lease any more; nothing was stored then.
        """


def open_store(settings: Settings) -> ThreadStore:
    """Make the store that the settings ask for: Cosmos DB if ``COSMOS_ENDPOINT`` is set, else SQLite in ``DATA_DIR``."""
    if settings.cosmos_endpoint:
        from cosmos_store import CosmosStore

        return CosmosStore(
            settings.cosmos_endpoint,
            database=settings.cosmos_database,
            key=settings.cosmos_key.get_secret_value() if settings.cosmos_key else None,
        )
    from sqlite_store import SqliteStore

    return SqliteStore(settings.data_dir / "chat.db")


def new_id(prefix: Literal["thread", "turn"]) -> str:
    """Return a new random id, such as ``thread_`` and 32 hex digits."""
    return f"{prefix}_{uuid.uuid4().hex}"


def new_thread(*, title: str | None, metadata: Metadata) -> Thread:
    """Return a thread that is empty and about to be stored."""
    now = utcnow()
    return Thread(
        id=new_id("thread"),
        title=title,
        status="active",
        metadata=metadata,
        created_at=now,
        updated_at=now,
        message_count=0,
        last_message_preview=None,
    )


def message_id(thread_id: str, seq: int) -> str:
    """Return the id of a thread's message: a function of its place, so that no message can be stored twice."""
    return f"msg_{thread_id.removeprefix('thread_')}_{seq}"


def message_seq(thread_id: str, id: str) -> int | None:
    """Return the sequence number in a message id, or ``None`` if the id is not one of this thread's messages."""
    if not re.match(MESSAGE_ID_PATTERN, id):
        return None
    _, thread_hex, seq = id.split("_")
    return int(seq) if thread_id == f"thread_{thread_hex}" else None


def utcnow() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 with microseconds: the same length always, so that text sorts as time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def preview(content: str) -> str:
    """Return a message's content as one short line."""
    line = " ".join(content[: PREVIEW_LENGTH * 4].split())
    return line if len(line) <= PREVIEW_LENGTH else line[: PREVIEW_LENGTH - 1] + "…"


def sort_key(updated_at: datetime, thread_id: str) -> str:
    """Return the text by which threads are listed: last activity, then id, so that no two are equal."""
    return f"{timestamp(updated_at)}/{thread_id}"


def encode_cursor(key: str) -> str:
    """Make the opaque cursor that continues a list of threads behind the row with this sort key."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """Return the sort key in a cursor.

    :raises InvalidCursor: if it holds none.
    """
    try:
        key = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/thread_[0-9a-f]{32}", key):
        raise InvalidCursor
    return key


def _sorted(value: JsonValue | Mapping[str, JsonValue]) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value
