"""Tool calls, as they are told and kept: what the model asked for, what came of it, and what somebody decided about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer, model_validator
from typing_extensions import TypeAliasType

from records import ResultOrError, is_none

CallStatus = TypeAliasType("CallStatus", Literal["completed", "failed", "open", "refused", "unknown"])
Awaited = TypeAliasType("Awaited", Literal["approval", "result"])

# Ids come from model servers, some of which put more into them than callers may be expected to send back.
MAX_CALL_ID = 256
UNKNOWN = "it was started and may have acted, but its outcome is not known; it is not run again"
NOT_MADE = "it was approved, but not made"
REFUSED = "refused by the user"
WENT_ON = "the user went on"
CANCELLED = "the turn was cancelled"


class ToolCall(ResultOrError):
    """One call of a tool: it has either ``result`` (JSON) or ``error`` (plain words), and neither while it is ``open``."""

    id: str
    tool: str
    arguments: dict[str, JsonValue]
    status: CallStatus = Field(
        "completed",
        description="`open`: it waits for somebody. `unknown`: it was started, and its outcome is not known: "
        "its process died, it took too long, or the turn that runs it goes on.",
    )
    awaits: Awaited | None = Field(
        None, exclude_if=is_none, description="What it waits for, or has waited for: an approval, or the client's own result."
    )
    result: JsonValue = None
    error: str | None = None
    duration_ms: int = 0
    key: str | None = Field(
        None,
        exclude_if=is_none,
        description="Of a call that acts: the same however often its message is tried again. Tools pass it on to services.",
    )
    expires_at: datetime | None = Field(
        None, exclude_if=is_none, description="From when on an open call can only be refused, or get an error."
    )
    decided_by: str | None = Field(None, exclude_if=is_none, description="Who decided about it.")
    decided_at: datetime | None = Field(None, exclude_if=is_none)
    reason: str | None = Field(None, exclude_if=is_none, description="Why, in their words.")

    @model_validator(mode="before")
    @classmethod
    def _with_status(cls, fields: Any) -> Any:
        """Tell the state of a call that was stored when there were two of them."""
        if isinstance(fields, dict) and "status" not in fields:
            return {**fields, "status": "completed" if fields.get("error") is None else "failed"}
        return fields

    @model_serializer(mode="wrap")
    def _with_outcome(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        dumped.pop("result" if self.error is not None else "error", None)
        if self.status == "open":
            dumped.pop("result", None)
        return dumped

    def decided(self, status: CallStatus, by: Decider, *, result: JsonValue = None, error: str | None = None) -> ToolCall:
        """Return an open call as somebody has decided about it."""
        outcome: dict[str, Any] = {"status": status, "result": result, "error": error}
        return self.model_copy(update={**outcome, "decided_by": by.id, "decided_at": by.at, "reason": by.reason})

    def approved(self, by: Decider) -> ToolCall:
        """Return an open call that may run: it counts as started from now on."""
        return self.decided("unknown", by, error=UNKNOWN)

    def not_made(self) -> ToolCall:
        """Return an approved call whose turn has ended before it."""
        return self.model_copy(update={"status": "failed", "error": f"{NOT_MADE}: its turn ended before"})

    def refused(self, by: Decider) -> ToolCall:
        """Return an open call that may not run."""
        return self.decided("refused", by, error=f"{REFUSED}: {by.reason}" if by.reason else REFUSED)


class Decider(NamedTuple):
    """Who decided, when, and why in their words."""

    id: str
    at: datetime
    reason: str | None = None


def made_calls(calls: Iterable[ToolCall]) -> dict[str, ToolCall]:
    """Return the calls that have acted, or may have, by their keys."""
    return {call.key: call for call in calls if call.key and call.status in ("completed", "unknown")}


def refuse_open(calls: Sequence[ToolCall], by: Decider) -> list[ToolCall]:
    """Return calls with those refused that are open."""
    return [call.refused(by) if call.status == "open" else call for call in calls]
