"""The events of a turn: one class for each kind, told apart by ``type``.

Every protocol and channel renders these; callers of the API see them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field, JsonValue, TypeAdapter

from models import Message, Problem
from records import Record, ResultOrError, is_none


class Event(Record):
    """Something that happened in a turn. ``id`` rises from 1 by 1 within the turn.

    Who does not ask for the model's reasoning sees gaps where it is left out.
    """

    id: int
    type: str
    turn_id: str

    def to_json(self) -> bytes:
        """Return the event as callers see it: one JSON object, without line breaks."""
        return self.__pydantic_serializer__.to_json(self)


class TurnStarted(Event):
    """The message is stored, and its turn runs."""

    type: Literal["turn.started"] = "turn.started"
    cancelled_turn_id: str | None = Field(
        None, exclude_if=is_none, description="The turn that was cancelled so that this one could begin (`interrupt`)."
    )


class MessageDelta(Event):
    """The next piece of the reply's text."""

    type: Literal["message.delta"] = "message.delta"
    text: str


class ReasoningDelta(Event):
    """The next piece of what the model thinks before it answers. Only who asks with `reasoning=true` gets it."""

    type: Literal["reasoning.delta"] = "reasoning.delta"
    text: str


class CallEvent(Event):
    """A tool call with its arguments; the kinds say what has become of it."""

    call_id: str
    tool: str
    arguments: dict[str, JsonValue]


class ToolStarted(CallEvent):
    """The model asked for a tool."""

    type: Literal["tool.started"] = "tool.started"


class ToolCompleted(Event, ResultOrError):
    """A tool call has its ``result`` (JSON) or its ``error`` (plain words); the other one is left out."""

    type: Literal["tool.completed"] = "tool.completed"
    call_id: str
    tool: str
    result: JsonValue = None
    error: str | None = None
    duration_ms: int


class ToolProgress(Event):
    """How far a tool is, in its own words."""

    type: Literal["tool.progress"] = "tool.progress"
    call_id: str
    text: str


class ApprovalRequested(CallEvent):
    """A tool call waits for somebody to approve or refuse it. What is open when the turn pauses is answered all at once."""

    type: Literal["approval.requested"] = "approval.requested"
    expires_at: datetime


class ToolRequested(CallEvent):
    """A call of one of the client's own tools waits for its result."""

    type: Literal["tool.requested"] = "tool.requested"
    expires_at: datetime


class MessageCompleted(Event):
    """The turn has ended with its reply."""

    type: Literal["message.completed"] = "message.completed"
    message: Message


class TurnFailed(Event):
    """The turn has ended without a reply."""

    type: Literal["turn.failed"] = "turn.failed"
    problem: Problem


class TurnCancelled(Event):
    """The turn was cancelled; ``message`` is the reply as far as it had come."""

    type: Literal["turn.cancelled"] = "turn.cancelled"
    message: Message


class TurnPaused(Event):
    """The turn has ended with a reply whose open tool calls wait for somebody; another turn goes on with it."""

    type: Literal["turn.paused"] = "turn.paused"
    message: Message


FinalEvent: TypeAlias = MessageCompleted | TurnFailed | TurnCancelled | TurnPaused
ToolEvent: TypeAlias = ToolStarted | ToolProgress | ToolCompleted | ApprovalRequested | ToolRequested
TurnEvent: TypeAlias = TurnStarted | ReasoningDelta | MessageDelta | ToolEvent | FinalEvent
EVENT_ADAPTER: TypeAdapter[TurnEvent] = TypeAdapter(Annotated[TurnEvent, Field(discriminator="type")])
KNOWN_TYPES = frozenset(each.model_fields["type"].default for each in get_args(TurnEvent))


def end_with(message: Message, *, id: int) -> MessageCompleted | TurnCancelled | TurnPaused:
    """Return the final event of a turn that has a reply: whole, cancelled or paused."""
    if message.status == "paused":
        return TurnPaused(id=id, turn_id=message.turn_id, message=message)
    if message.status == "cancelled":
        return TurnCancelled(id=id, turn_id=message.turn_id, message=message)
    return MessageCompleted(id=id, turn_id=message.turn_id, message=message)


def stored_events(items: Iterable[dict[str, Any]]) -> list[TurnEvent]:
    """Read events that :meth:`Event.to_json` wrote; kinds that a newer version has added are left out."""
    return [EVENT_ADAPTER.validate_python(item) for item in items if item["type"] in KNOWN_TYPES]
