"""What a model thought before it answered: only for who asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Annotated

from fastapi import Query

from api.fields import TrueOrFalse
from api.streaming import Batches
from events import MessageCompleted, ReasoningDelta, TurnCancelled, TurnEvent, TurnPaused
from models import Message, Turn

WithReasoning = Annotated[
    TrueOrFalse,
    Query(description="Show what the model thought: events `reasoning.delta`, and `reasoning` of an answer."),
]


def message_for(message: Message, *, reasoning: bool) -> Message:
    """Return a message as its reader asked for it."""
    return message if reasoning else message.without_reasoning()


def turn_for(turn: Turn, *, reasoning: bool) -> Turn:
    """Return a turn as its reader asked for it."""
    if reasoning or turn.message is None:
        return turn
    return turn.model_copy(update={"message": turn.message.without_reasoning()})


async def batches_for(batches: Batches, *, reasoning: bool, heartbeat_interval: float) -> Batches:
    """Yield a turn's events as their reader asked for them; an empty batch is a heartbeat.

    Where only what is hidden comes, there are heartbeats, too: after ``heartbeat_interval`` seconds without anything else.
    """
    loop = asyncio.get_running_loop()
    shown_at = loop.time()
    async with aclosing(batches):
        async for batch in batches:
            shown = batch if reasoning else list(_without_reasoning(batch))
            if shown or not batch or loop.time() - shown_at >= heartbeat_interval:
                shown_at = loop.time()
                yield shown


def _without_reasoning(events: Iterable[TurnEvent]) -> Iterable[TurnEvent]:
    for event in events:
        if isinstance(event, MessageCompleted | TurnCancelled | TurnPaused) and event.message.reasoning is not None:
            yield event.model_copy(update={"message": event.message.without_reasoning()})
        elif not isinstance(event, ReasoningDelta):
            yield event
