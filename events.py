"""The events of a turn: one class for each kind, told apart by ``type``.

Every protocol and channel renders these; callers of the API see them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, JsonValue, TypeAdapter

from models import Message, Problem
from records import Record, ResultOrError


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


class MessageDelta(Event):
    """The next piece of the reply's text."""

    type: Literal["message.delta"] = "message.delta"
    text: str


class ReasoningDelta(Event):
    """The next piece of what the model thinks before it answers. Only who asks with `reasoning=true` gets it."""

    type: Literal["reasoning.delta"] = "reasoning.delta"
    text: str


class ToolStarted(Event):
    """The model asked for a tool."""

    type: Literal["tool.started"] = "tool.started"
    call_id: str
    tool: str
    arguments: dict[str, JsonValue]


class ToolCompleted(Event, ResultOrError):
    """A tool call has its ``result`` (JSON) or its ``error`` (plain words); the other one is left out."""

    type: Literal["tool.completed"] = "tool.completed"
    call_id: str
    tool: str
    result: JsonValue = None
    error: str | None = None
    duration_ms: int


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


FinalEvent: TypeAlias = MessageCompleted | TurnFailed | TurnCancelled
TurnEvent: TypeAlias = TurnStarted | ReasoningDelta | MessageDelta | ToolStarted | ToolCompleted | FinalEvent
EVENT_ADAPTER: TypeAdapter[TurnEvent] = TypeAdapter(Annotated[TurnEvent, Field(discriminator="type")])
KNOWN_TYPES = frozenset(
    each.model_fields["type"].default
    for each in (
        TurnStarted,
        ReasoningDelta,
        MessageDelta,
        ToolStarted,
        ToolCompleted,
        MessageCompleted,
        TurnFailed,
        TurnCancelled,
    )
)


def end_with(message: Message, *, id: int) -> MessageCompleted | TurnCancelled:
    """Return the final event of a turn that has a reply, whole or cancelled."""
    if message.status == "cancelled":
        return TurnCancelled(id=id, turn_id=message.turn_id, message=message)
    return MessageCompleted(id=id, turn_id=message.turn_id, message=message)


def stored_events(items: Iterable[dict[str, Any]]) -> list[TurnEvent]:
    """Read events that :meth:`Event.to_json` wrote; kinds that a newer version has added are left out."""
    return [EVENT_ADAPTER.validate_python(item) for item in items if item["type"] in KNOWN_TYPES]
