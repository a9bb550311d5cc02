"""What callers send and get. Threads and messages themselves are the records of ``records.py``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import to_json

from quotas import Usage
from records import (
    MAX_COMMENT,
    THREAD_ID_PATTERN,
    Citation,
    Message,
    Metadata,
    Problem,
    Rating,
    SparseRecord,
    Thread,
    ThreadStatus,
    ToolCall,
)
from settings import ModelKind

CONTENT_MAX_LENGTH = 32_000
METADATA_MAX_KEYS = 16
METADATA_MAX_BYTES = 4096
METADATA_MAX_DEPTH = 8
# What every JSON reader keeps exactly (RFC 8259, section 6).
SAFE_NUMBER = 2**53 - 1
WITHOUT_NUL = r"^[^\u0000]*$"
# What Python takes for white space is more than what \s is in a JSON schema.
NOT_BLANK_WITHOUT_NUL = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"
METADATA_VALUE = "MetadataValue"
METADATA_VALUE_REF = f"#/components/schemas/{METADATA_VALUE}"
METADATA_VALUE_SCHEMA = {
    "title": METADATA_VALUE,
    "anyOf": [
        {"type": "null"},
        {"type": "boolean"},
        {"type": "number", "minimum": -SAFE_NUMBER, "maximum": SAFE_NUMBER},
        {"type": "string", "pattern": WITHOUT_NUL},
        {"type": "array", "items": {"$ref": METADATA_VALUE_REF}},
        {
            "type": "object",
            "propertyNames": {"pattern": WITHOUT_NUL},
            "additionalProperties": {"$ref": METADATA_VALUE_REF},
        },
    ],
}

THREAD_EXAMPLE = {
    "id": "thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40",
    "title": "Trip",
    "status": "active",
    "metadata": {"channel": "web"},
    "created_at": "2026-01-01T10:30:00Z",
    "updated_at": "2026-01-01T10:30:05Z",
    "message_count": 2,
    "last_message_preview": "It is 14 °C and cloudy in Seattle; a 15% tip on $85 is $12.75.",
}
MESSAGE_EXAMPLE = {
    "id": "msg_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40_2",
    "thread_id": "thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40",
    "seq": 2,
    "role": "assistant",
    "content": "A 15% tip on $85 is $12.75.",
    "timestamp": "2026-01-01T10:30:05Z",
    "status": "completed",
    "turn_id": "turn_8d0b7c5e4f3a4c2d9e1f0a6b5c4d3e2f",
    "tool_calls": [
        {
            "id": "call_1",
            "tool": "calculate",
            "arguments": {"expression": "85 * 0.15"},
            "result": 12.75,
            "duration_ms": 1,
        }
    ],
    "citations": [],
    "metadata": {"model": "gpt-4o", "usage": {"input_tokens": 310, "output_tokens": 42}},
}
RATED_EXAMPLE: dict[str, Any] = {
    **MESSAGE_EXAMPLE,
    "content": "You can return it within 60 days [1].",
    "tool_calls": [],
    "citations": [
        {
            "index": 1,
            "id": "return-policy",
            "title": "Return policy",
            "url": "https://help.example.com/return-policy",
            "snippet": "Returns are possible within 60 days",
        }
    ],
    "feedback": {"rating": "up", "comment": "Just what I needed", "timestamp": "2026-01-01T10:31:00Z"},
}
TURN_EXAMPLE = {
    "id": "turn_8d0b7c5e4f3a4c2d9e1f0a6b5c4d3e2f",
    "thread_id": "thread_5f0c1f0d3f4b4c1e8a3b7d2e9c6a1b40",
    "status": "running",
    "started_at": "2026-01-01T10:30:03Z",
    "ended_at": None,
}
ERASURE_EXAMPLE = {
    "id": "erasure_2c9e6a1b405f0c1f0d3f4b4c1e8a3b7d",
    "status": "running",
    "threads": 0,
    "started_at": "2026-01-01T10:30:00Z",
    "ended_at": None,
}
EXPORT_EXAMPLE: list[Any] = [
    {"type": "owner", "tenant": "local", "user": "local", "exported_at": "2026-01-01T10:30:10Z"},
    {"type": "user_state", "user_state": {"thread_id": None, "units": "metric", "last_feedback": None, "values": {}}},
    {"type": "thread", "thread": THREAD_EXAMPLE},
    {"type": "message", "message": MESSAGE_EXAMPLE},
    {"type": "turn", "turn": {**TURN_EXAMPLE, "status": "completed", "ended_at": "2026-01-01T10:30:05Z"}},
    {"type": "end", "threads": 1, "messages": 1},
]
INVOCATION_EXAMPLE = {
    "final_answer": MESSAGE_EXAMPLE["content"],
    "thread_id": MESSAGE_EXAMPLE["thread_id"],
    "message_id": MESSAGE_EXAMPLE["id"],
    "tool_calls": MESSAGE_EXAMPLE["tool_calls"],
    "citations": MESSAGE_EXAMPLE["citations"],
}
BATCH_EXAMPLE = {
    "answers": [MESSAGE_EXAMPLE["content"]],
    "results": [{key: INVOCATION_EXAMPLE[key] for key in ("thread_id", "message_id", "tool_calls", "citations")}],
}


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _small(metadata: Metadata) -> Metadata:
    if len(metadata) > METADATA_MAX_KEYS:
        raise ValueError(f"must have at most {METADATA_MAX_KEYS} keys")
    _check_value(metadata, METADATA_MAX_DEPTH)
    if len(to_json(metadata)) > METADATA_MAX_BYTES:
        raise ValueError(f"must be at most {METADATA_MAX_BYTES} bytes of JSON")
    return metadata


def _check_value(value: JsonValue, depth: int) -> None:
    if depth < 0:
        raise ValueError(f"must not be nested deeper than {METADATA_MAX_DEPTH} levels")
    if isinstance(value, str):
        _without_nul(value)
    elif isinstance(value, int | float) and abs(value) > SAFE_NUMBER:
        raise ValueError("must not contain numbers beyond 2^53 - 1")
    elif isinstance(value, list):
        for item in value:
            _check_value(item, depth - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _without_nul(key)
            _check_value(item, depth - 1)


Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, strip_whitespace=True),
    Field(json_schema_extra={"pattern": NOT_BLANK_WITHOUT_NUL}),
    AfterValidator(_without_nul),
]
Comment = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_COMMENT, strip_whitespace=True),
    Field(json_schema_extra={"pattern": NOT_BLANK_WITHOUT_NUL}),
    AfterValidator(_without_nul),
]
SmallMetadata = Annotated[
    Metadata,
    AfterValidator(_small),
    Field(
        description=f"The caller's own data: at most {METADATA_MAX_KEYS} keys and {METADATA_MAX_BYTES} bytes.",
        json_schema_extra={
            "maxProperties": METADATA_MAX_KEYS,
            "propertyNames": {"pattern": WITHOUT_NUL},
            "additionalProperties": {"$ref": METADATA_VALUE_REF},
        },
    ),
]


class Body(BaseModel):
    """A request body: unknown fields are refused, so that a typing error is not silently ignored."""

    model_config = ConfigDict(extra="forbid")


class ThreadCreate(Body):
    """A new thread."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Trip", "metadata": {"channel": "web"}}]})

    title: Title | None = None
    metadata: SmallMetadata = {}


class ThreadUpdate(Body):
    """Changes to a thread; what is left out stays as it is, a `title` of `null` removes it."""

    model_config = ConfigDict(
        json_schema_extra={"minProperties": 1, "examples": [{"title": "Trip to Seattle"}, {"status": "archived"}]}
    )

    title: Title | None = None
    metadata: SmallMetadata = {}
    status: ThreadStatus = "active"

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must have at least one of title, metadata, status")
        return self


Content = Annotated[
    str,
    Field(min_length=1, max_length=CONTENT_MAX_LENGTH, json_schema_extra={"pattern": NOT_BLANK_WITHOUT_NUL}),
    AfterValidator(_not_blank),
    AfterValidator(_without_nul),
]
OptionalThreadId = Annotated[str, Field(pattern=THREAD_ID_PATTERN)] | None


class MessageCreate(Body):
    """A message of the user."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"content": "What is the weather in Seattle and what is a 15% tip on $85?"}]}
    )

    content: Content
    metadata: SmallMetadata = {}


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


class Invocation(Body):
    """A question; without a `thread_id` it opens a new thread."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_input": "What is a 15% tip on $85?"}]})

    user_input: Content
    thread_id: OptionalThreadId = None


class InvocationAnswer(BaseModel):
    """The answer to a question."""

    final_answer: str
    thread_id: str
    message_id: str
    tool_calls: list[ToolCall]
    citations: list[Citation]


class Questions(Body):
    """Questions; with a `thread_id` they are asked there, one after another."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"questions": ["What is 2 + 2?", "Weather in Oslo?"]}]})

    questions: list[Content] = Field(min_length=1, max_length=20)
    thread_id: OptionalThreadId = None


class BatchResult(SparseRecord):
    """How one question was answered, or the problem that kept it from being answered."""

    thread_id: str | None
    message_id: str | None = None
    tool_calls: list[ToolCall] = Field([])
    citations: list[Citation] = Field([])
    problem: Problem | None = None

    left_out = frozenset({"message_id", "problem"})


class BatchAnswers(BaseModel):
    """The answers in the questions' order; an empty one has a problem in `results`."""

    answers: list[str]
    results: list[BatchResult]


class Health(BaseModel):
    """The process is up."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Messages can be answered; `parts` is what was asked: `store`, `model`, and `limits` where Redis counts."""

    status: Literal["ready"] = "ready"
    parts: list[str]


class Info(BaseModel):
    """What runs here; `model` is the model's name, or its deployment's."""

    version: str
    model: str
    model_kind: ModelKind


class Used(BaseModel):
    """How much of something is used; without a `limit` there is none."""

    used: int
    limit: int | None

    @classmethod
    def of(cls, used: int, limit: int) -> Self:
        """Return what is shown of a count and its limit, of which 0 is none."""
        return cls(used=used, limit=limit or None)


class PartyUsage(BaseModel):
    """The use of an owner or a tenant: requests in the last minute, turns that run now, tokens today (UTC)."""

    requests_last_minute: Used
    turns_now: Used
    tokens_today: Used

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """Return what is shown of a usage."""
        quota = usage.quota
        return cls(
            requests_last_minute=Used.of(usage.requests_last_minute, quota.requests_per_minute),
            turns_now=Used.of(usage.turns_now, quota.turns_at_once),
            tokens_today=Used.of(usage.tokens_today, quota.tokens_per_day),
        )


class UsageReport(BaseModel):
    """The caller's use and, for administrators, the tenant's."""

    owner: PartyUsage
    tenant: PartyUsage | None
