"""Turns that pause, as tests of stores make them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from calls import CANCELLED, Decider, ToolCall
from models import Message, Owner, new_id, utcnow
from stores.contract import ThreadStore
from stores.types import NewContinuation, NewMessage, Pause, StartedTurn, TurnEnd
from tests.support.stores import ANN, answer, begin

BY = Decider("ann", utcnow(), CANCELLED)
KEPT = Pause(tools=[{"name": "mine", "description": "Mine.", "parameters": {"type": "object"}}], carried={"call_1": '{"x": 1}'})


def open_call(id: str = "call_1", **fields: Any) -> ToolCall:
    expires_at = utcnow() + timedelta(days=1)
    others = {"awaits": "approval", "key": f"key_{id}", "expires_at": expires_at, **fields}
    return ToolCall(id=id, tool="send_refund", arguments={"order": "A1"}, status="open", **others)


async def pause(
    store: ThreadStore, thread_id: str, new: NewMessage | None = None, *calls: ToolCall, owner: Owner = ANN
) -> Message:
    """Run a turn that pauses; return its reply."""
    return await pause_again(store, await begin(store, thread_id, new, owner=owner), *calls)


async def pause_again(store: ThreadStore, turn: StartedTurn, *calls: ToolCall) -> Message:
    """Let a turn that has begun pause; return its reply."""
    reply = answer(turn, "One moment.", "paused").model_copy(update={"tool_calls": list(calls or (open_call(),))})
    message = turn.message.model_copy(update={"status": "paused"})
    await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=3, pause=KEPT))
    return reply


def approve(reply: Message, *, key: str | None = None, remember: frozenset[str] = frozenset()) -> NewContinuation:
    """Return what goes on with a paused turn, all of whose open calls are approved."""
    by = Decider("ann", utcnow())
    calls = [call.approved(by) if call.status == "open" else call for call in reply.tool_calls]
    approved = frozenset(call.id for call in reply.tool_calls if call.status == "open")
    return NewContinuation(new_id("turn"), reply.turn_id, calls, ["yes"], approved, remember, key)


async def go_on(
    store: ThreadStore, thread_id: str, new: NewContinuation, *, lease: float = 30, history: int = 40, owner: Owner = ANN
) -> StartedTurn:
    """Begin a turn that goes on with a paused one, and is no replay."""
    started = await store.begin_continuation(owner, thread_id, new, lease_seconds=lease, history_limit=history)
    assert isinstance(started, StartedTurn)
    return started


def made(call: ToolCall) -> ToolCall:
    """Return an approved call that has been made."""
    return call.model_copy(update={"status": "completed", "result": {"paid": 1}, "error": None, "duration_ms": 7})


async def finish(store: ThreadStore, turn: StartedTurn) -> Message:
    """Commit a continuation whose approved calls have all been made; return the reply."""
    paused = turn.paused[-1]
    settled = paused.model_copy(
        update={"tool_calls": [made(call) if call.id in turn.approved else call for call in paused.tool_calls]}
    )
    reply = answer(turn, "Paid.")
    message = turn.message.model_copy(update={"status": "completed"})
    await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9, settled=settled))
    return reply


def statuses(found: Sequence[Message]) -> list[str]:
    return [message.status for message in found]


def outcomes(message: Message) -> list[str]:
    return [call.status for call in message.tool_calls]
