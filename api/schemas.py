"""What callers send and get. Threads and messages themselves are the records of ``models.py``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from api.bodies import Body
from api.client_tools import ClientTools
from api.fields import NOT_BLANK_WITHOUT_NUL, SmallMetadata, not_blank, without_nul
from calls import ToolCall
from models import (
    MAX_COMMENT,
    Citation,
    Message,
    Problem,
    Rating,
    Thread,
    ThreadStatus,
    TurnStatus,
)
from quotas.quotas import Usage
from records import Record, is_none
from settings import ModelKind
from stores.types import Approval
from tools.tool import ToolView
from turns.thread_reference import ID_PREFIX, MAX_LENGTH, check_reference

CONTENT_MAX_LENGTH = 32_000


Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    Field(json_schema_extra={"pattern": NOT_BLANK_WITHOUT_NUL}),
    AfterValidator(without_nul),
]
Comment = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_COMMENT, strip_whitespace=True),
    Field(json_schema_extra={"pattern": NOT_BLANK_WITHOUT_NUL}),
    AfterValidator(without_nul),
]


class ThreadCreate(Body):
    """A new thread."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Trip", "metadata": {"channel": "web"}}]})

    title: Title | None = None
    metadata: SmallMetadata = Field(default_factory=dict)


class ThreadUpdate(Body):
    """Changes to a thread; what is left out stays as it is, a `title` of `null` removes it."""

    model_config = ConfigDict(
        json_schema_extra={"minProperties": 1, "examples": [{"title": "Dinner on Friday"}, {"status": "archived"}]}
    )

    title: Title | None = None
    metadata: SmallMetadata = Field(default_factory=dict)
    # Not a default that the OpenAPI document would tell: what is left out is not changed.
    status: ThreadStatus = Field(default_factory=lambda: "active")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must have at least one of title, metadata, status")
        return self


Content = Annotated[
    str,
    Field(min_length=1, max_length=CONTENT_MAX_LENGTH, json_schema_extra={"pattern": NOT_BLANK_WITHOUT_NUL}),
    AfterValidator(not_blank),
    AfterValidator(without_nul),
]
# What str.isprintable takes, not all of it blank; or nothing.
PRINTABLE = r"^( *[^\p{C}\p{Z}]([^\p{C}\p{Z}]| )*)?$"
ThreadReference = Annotated[
    str,
    Field(
        max_length=MAX_LENGTH,
        description="A thread's id, or a session id of your own: your thread of that name, made on first use. "
        f"Printable characters, not all blank; what begins with `{ID_PREFIX}` is an id. Empty is as if left out.",
        examples=["thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40", "session-42"],
        json_schema_extra={"pattern": PRINTABLE},
    ),
    AfterValidator(check_reference),
]


class MessageCreate(Body):
    """A message of the user."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "What is a 15% tip on $85?"}]})

    content: Content
    metadata: SmallMetadata = Field(default_factory=dict)
    interrupt: StrictBool = Field(
        default_factory=bool, description="Cancel the turn that runs in the thread, and take its place."
    )
    tools: ClientTools = Field(default_factory=list, description="Tools of your own, which you run when the model calls them.")


class FeedbackUpdate(Body):
    """What a reader thinks of an answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rating": "up", "comment": "Just what I needed"}]})

    rating: Rating
    comment: Comment | None = None


class ThreadList(BaseModel):
    """A page of threads."""

    threads: list[Thread]
    next_cursor: str | None = Field(description="Pass it as `cursor` to get the next page; `null` on the last one.")


class MessageList(BaseModel):
    """A page of messages."""

    messages: list[Message]
    next_cursor: str | None = Field(
        description="The last message's id: pass it as `after` (order `asc`) or `before` (`desc`); `null` on the last page."
    )


class ApprovalList(BaseModel):
    """The tools that need not ask any more in a thread."""

    approvals: list[Approval]


class Invocation(Body):
    """A question; without a `thread_id` it makes a new thread."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_input": "What is a 15% tip on $85?"}]})

    user_input: Content
    thread_id: ThreadReference | None = None


class InvocationAnswer(BaseModel):
    """The answer to a question."""

    final_answer: str
    status: TurnStatus = Field(description="`paused`: `open_calls` wait for somebody; go on with the turn to answer them.")
    thread_id: str
    message_id: str
    turn_id: str
    open_calls: list[ToolCall]
    tool_calls: list[ToolCall]
    citations: list[Citation]


class Batch(Body):
    """Questions; with a `thread_id` they are asked there, one after another."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"questions": ["What is 2 + 2?", "How much is 18% of 75?"]}]})

    questions: list[Content] = Field(min_length=1, max_length=20)
    thread_id: ThreadReference | None = None


class BatchResult(Record):
    """How one question was answered, or the problem that kept it from being answered."""

    thread_id: str | None
    message_id: str | None = Field(None, exclude_if=is_none)
    status: TurnStatus | None = Field(None, exclude_if=is_none)
    turn_id: str | None = Field(None, exclude_if=is_none)
    open_calls: list[ToolCall] = Field([])
    tool_calls: list[ToolCall] = Field([])
    citations: list[Citation] = Field([])
    problem: Problem | None = Field(None, exclude_if=is_none)


class BatchAnswers(BaseModel):
    """The answers in the questions' order; an empty one has a problem in `results`."""

    answers: list[str]
    results: list[BatchResult]


class SignIn(Record):
    """How users of the chat page, or of a client like it, get an access token: authorization code with PKCE."""

    authority: str = Field(description="Whose `/oauth2/v2.0/authorize` and `/token` to use.")
    client_id: str
    scope: str


class Health(Record):
    """The process is up."""

    status: Literal["ok"] = "ok"


class Ready(Record):
    """Messages can be answered; `parts` is what was asked: `store`, `model`, and `limits` where Redis counts."""

    status: Literal["ready"] = "ready"
    parts: list[str]


class Info(BaseModel):
    """What runs here; `model` is the model's name, or its deployment's."""

    version: str
    model: str
    model_kind: ModelKind


class ToolList(BaseModel):
    """The agent's tools, in the order in which it has them."""

    tools: list[ToolView]


class Used(BaseModel):
    """How much of something is used; without a `limit` there is none."""

    used: int
    limit: int | None

    @classmethod
    def of(cls, used: int, limit: int) -> Self:
        """Return what is shown of a count and its limit, of which 0 is none."""
        return cls(used=used, limit=limit or None)


class PartyUsage(BaseModel):
    """The use of an owner or a tenant: requests in the last minute, turns and streams now, tokens today (UTC)."""

    requests_last_minute: Used = Field(description="Counted only where there is a limit: without one, `used` is 0.")
    turns_now: Used
    streams_now: Used
    tokens_today: Used

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """Return what is shown of a usage."""
        quota = usage.quota
        return cls(
            requests_last_minute=Used.of(usage.requests_last_minute, quota.requests_per_minute),
            turns_now=Used.of(usage.turns_now, quota.turns_at_once),
            streams_now=Used.of(usage.streams_now, quota.streams_at_once),
            tokens_today=Used.of(usage.tokens_today, quota.tokens_per_day),
        )


class UsageReport(BaseModel):
    """The caller's use and, for administrators, the tenant's."""

    owner: PartyUsage
    tenant: PartyUsage | None
