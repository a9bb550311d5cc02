"""What every thread store promises where several act on a paused turn at once, or one after another was told of nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import time_machine

from errors import CallsUndecided, LeaseLost, TurnContinued, TurnEnded, TurnInProgress, TurnNotFound
from models import Feedback, Thread, new_id, utcnow
from stores.contract import ThreadStore
from stores.types import CancelRequested, NewContinuation, StartedTurn, TurnEnd
from tests.support.groups import GROUP, say
from tests.support.pauses import BY, KEPT, approve, finish, go_on, open_call, pause, pause_again
from tests.support.stores import ANN, LATER, Backend, answer, ask, begin, end, messages, talk


@pytest.mark.parametrize("first", range(3))
async def test_of_a_decision_a_message_and_a_cancellation_one_is_first(
    backend: Backend, store: ThreadStore, thread: Thread, first: int
) -> None:
    reply = await pause(store, thread.id)
    async with backend.new() as other:
        racing: list[Any] = [
            go_on(store, thread.id, approve(reply)),
            begin(other, thread.id, ask("Never mind.")),
            other.cancel_paused(ANN, thread.id, reply.turn_id, BY),
        ]
        in_order = racing[first:] + racing[:first]
        outcomes = await asyncio.gather(*in_order, return_exceptions=True)
    decided, went_on, cancelled = outcomes[3 - first :] + outcomes[: 3 - first]
    [call] = (await messages(store, thread.id))[1].tool_calls
    if isinstance(decided, StartedTurn):
        assert (type(went_on), type(cancelled), call.status) == (TurnInProgress, TurnEnded, "unknown")
        await finish(store, decided)
    else:
        assert (type(decided), call.status) == (TurnEnded, "refused")
        assert isinstance(went_on, StartedTurn)
        await end(store, went_on)
    assert (await store.get_thread(ANN, thread.id)).open_turn_id is None


async def test_a_turn_that_was_asked_to_stop_does_not_pause(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id)
    await store.request_cancel(ANN, thread.id, turn.turn_id)
    with pytest.raises(CancelRequested):
        await pause_again(store, turn)
    assert await store.is_cancel_requested(turn)
    await end(store, turn, status="cancelled")
    assert (await store.get_thread(ANN, thread.id)).open_turn_id is None


async def test_who_has_decided_and_asks_again_while_the_turn_runs_is_told_to_wait(
    backend: Backend, store: ThreadStore, thread: Thread
) -> None:
    new = approve(await pause(store, thread.id), key="k")
    running = await go_on(store, thread.id, new)
    async with backend.new() as other:
        with pytest.raises(TurnInProgress) as refused:
            await go_on(other, thread.id, replace(new, turn_id=new_id("turn")))
        assert refused.value.turn_id == running.turn_id
        with pytest.raises(TurnContinued):
            await go_on(other, thread.id, replace(new, turn_id=new_id("turn"), idempotency_key="other"))
    await finish(store, running)


async def test_a_rating_that_is_given_while_the_turn_goes_on_stays(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    running = await go_on(store, thread.id, approve(reply))
    rated = Feedback(rating="up", comment=None, timestamp=utcnow())
    await store.set_feedback(ANN, thread.id, reply.id, rated)
    await finish(store, running)
    settled = (await messages(store, thread.id))[1]
    assert (settled.feedback, [call.status for call in settled.tool_calls]) == (rated, ["completed"])


@pytest.mark.parametrize("then", ["decided", "cancelled", "went on"])
async def test_a_pause_whose_commit_was_not_heard_of_may_be_committed_again(
    store: ThreadStore, thread: Thread, then: str
) -> None:
    turn = await begin(store, thread.id)
    reply = answer(turn, "One moment.", "paused").model_copy(update={"tool_calls": [open_call()]})
    paused = TurnEnd(message=turn.message.model_copy(update={"status": "paused"}), reply=reply, final_event_id=3, pause=KEPT)
    await store.commit_turn(turn, paused)
    if then == "decided":
        await finish(store, await go_on(store, thread.id, approve(reply)))
    elif then == "cancelled":
        await store.cancel_paused(ANN, thread.id, reply.turn_id, BY)
    else:
        await talk(store, thread.id)
    before = await messages(store, thread.id)
    await store.commit_turn(turn, paused)
    assert await messages(store, thread.id) == before
    failed = turn.message.model_copy(update={"status": "failed"})
    with pytest.raises(LeaseLost):
        await store.commit_turn(turn, TurnEnd(message=failed, reply=None, final_event_id=3))


async def test_a_turn_that_goes_on_and_fails_leaves_the_last_message_in_the_list(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    await end(store, await go_on(store, thread.id, approve(reply)), "failed", content=None)
    assert (await store.get_thread(ANN, thread.id)).last_message_preview == "One moment."


async def test_who_went_on_is_not_named_in_conversations(store: ThreadStore, thread: Thread) -> None:
    """It would stay in another's exchange when what they wrote is erased."""
    shared = await store.create_thread(GROUP, title=None, metadata={})
    for owner, thread_id in ((ANN, thread.id), (GROUP, shared.id)):
        await pause(store, thread_id, owner=owner)
        turn = await say(store, thread_id, "bob", owner=owner)
        assert [call.decided_by for call in turn.history[-1].tool_calls] == [owner.user]
        await end(store, turn)


async def test_who_has_not_seen_that_a_turn_has_paused_is_told_to_look_again(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    with pytest.raises(CallsUndecided):
        await go_on(store, thread.id, NewContinuation(new_id("turn"), reply.turn_id, None, ["yes"]))
    await finish(store, await go_on(store, thread.id, approve(reply)))


@pytest.mark.parametrize("id", ["a message's", "a thread's", "turn_'1' OR true", ""])
async def test_what_is_no_turns_id_names_none(store: ThreadStore, thread: Thread, id: str) -> None:
    reply = await pause(store, thread.id)
    id = {"a message's": reply.id, "a thread's": thread.id}.get(id, id)
    with pytest.raises(TurnNotFound):
        await go_on(store, thread.id, NewContinuation(new_id("turn"), id, None, []))
    with pytest.raises(TurnNotFound):
        await store.cancel_paused(ANN, thread.id, id, BY)


@pytest.mark.parametrize("key", [None, "k"])
async def test_calls_that_acted_are_shown_as_soon_as_their_turn_is_interrupted(
    store: ThreadStore, thread: Thread, key: str | None
) -> None:
    """Also before anybody has ended it."""
    if key:
        await end(store, await begin(store, thread.id, ask(key=key)), "failed", content=None)
    turn = await begin(store, thread.id, ask(key=key))
    await store.record_calls(turn, [open_call().approved(BY)])
    assert (await messages(store, thread.id))[0].tool_calls == []
    with time_machine.travel(utcnow() + LATER, tick=True):
        [message] = await messages(store, thread.id)
        assert (message.status, [call.status for call in message.tool_calls]) == ("interrupted", ["unknown"])


async def test_a_thread_whose_turn_goes_on_waits_for_nobody(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    async with backend.new() as other:
        await go_on(other, thread.id, approve(reply))
    assert (await store.list_threads(ANN, status=None, open=True, limit=9, cursor=None)).items == []
    with pytest.raises(TurnContinued):
        await go_on(store, thread.id, approve(reply))
