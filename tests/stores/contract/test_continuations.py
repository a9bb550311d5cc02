"""What every thread store promises about paused turns: one decision each, whatever else happens."""

from __future__ import annotations

import asyncio

import pytest
import time_machine

from calls import WENT_ON, ToolCall
from errors import ThreadNotFound, TurnContinued, TurnEnded, TurnInProgress, TurnNotFound
from models import Thread, new_id, utcnow
from stores.contract import ThreadStore
from stores.types import NewContinuation, ReplayedTurn, StartedTurn, TurnEnd
from tests.support.pauses import BY, KEPT, approve, finish, go_on, made, open_call, outcomes, pause, pause_again, statuses
from tests.support.stores import ANN, BOB, LATER, Backend, answer, ask, begin, end, messages, talk


async def test_a_turn_that_pauses_leaves_its_thread_open(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    async with backend.new() as other:
        found = await other.get_thread(ANN, thread.id)
        assert (found.open_turn_id, found.message_count) == (reply.turn_id, 2)
        assert statuses(await messages(other, thread.id)) == ["paused", "paused"]
        turn = (await other.get_progress(ANN, thread.id, reply.turn_id, after=None)).turn
        assert (turn.status, turn.message, turn.continued_by) == ("paused", reply, None)
        assert (await other.get_thread(ANN, thread.id)).open_turn_id == reply.turn_id


async def test_threads_that_wait_for_somebody_are_listed_at_once(store: ThreadStore, thread: Thread) -> None:
    other = await store.create_thread(ANN, title=None, metadata={})
    await talk(store, thread.id)
    reply = await pause(store, thread.id)

    async def listed(*, open: bool | None) -> list[str]:
        page = await store.list_threads(ANN, status=None, open=open, limit=9, cursor=None)
        return sorted(each.id for each in page.items)

    assert await listed(open=True) == [thread.id]
    assert await listed(open=False) == [other.id]
    assert await listed(open=None) == sorted([thread.id, other.id])
    await finish(store, await go_on(store, thread.id, approve(reply)))
    assert await listed(open=True) == []


async def test_another_turn_goes_on_with_it_anywhere(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    await talk(store, thread.id, "Hello")
    sibling = ToolCall(id="call_0", tool="calculate", arguments={}, result=1, duration_ms=1)
    reply = await pause(store, thread.id, ask("Pay it back."), sibling, open_call())
    async with backend.new() as other:
        new = approve(reply)
        turn = await go_on(other, thread.id, new)
        assert (turn.is_retry, turn.reply_seq, turn.message.content) == (True, 5, "Pay it back.")
        assert (turn.message.status, turn.message.turn_id) == ("running", new.turn_id)
        assert [message.content for message in turn.history] == ["Hello", "4"]
        assert (turn.pause, turn.approved) == (KEPT, frozenset({"call_1"}))
        [paused] = turn.paused
        assert paused == reply.model_copy(update={"tool_calls": list(new.calls or ())})
        assert outcomes(paused) == ["completed", "unknown"]
        assert (await store.get_thread(ANN, thread.id)).open_turn_id is None
        running = (await store.get_progress(ANN, thread.id, new.turn_id, after=None)).turn
        assert (running.status, running.continued_by) == ("running", None)
        was = (await store.get_progress(ANN, thread.id, reply.turn_id, after=None)).turn
        assert (was.status, was.continued_by) == ("paused", new.turn_id)
        ended = await finish(other, turn)
    found = await messages(store, thread.id)
    assert statuses(found) == ["completed", "completed", "completed", "paused", "completed"]
    assert (found[3].tool_calls, found[4]) == ([sibling, made(paused.tool_calls[1])], ended)
    assert found[2].turn_id == found[4].turn_id == new.turn_id
    assert [message.seq for message in (await begin(store, thread.id)).history] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("limit", [0, 1, 40])
async def test_what_it_goes_on_with_is_read_however_little_history_is_asked_for(
    store: ThreadStore, thread: Thread, limit: int
) -> None:
    await talk(store, thread.id)
    first = await pause(store, thread.id)
    second = await pause_again(store, await go_on(store, thread.id, approve(first)), open_call("call_2"))
    turn = await go_on(store, thread.id, approve(second), history=limit)
    assert [message.id for message in turn.paused] == [first.id, second.id]
    assert [outcomes(message) for message in turn.paused] == [["unknown"], ["unknown"]]
    assert [message.seq for message in turn.history] == ([1, 2] if limit == 40 else [2][:limit])
    assert turn.message.seq == 3
    await finish(store, turn)
    assert statuses(await messages(store, thread.id))[2:] == ["completed", "paused", "paused", "completed"]


async def test_of_two_decisions_one_is_first_also_on_two_instances(
    backend: Backend, store: ThreadStore, thread: Thread
) -> None:
    reply = await pause(store, thread.id)
    async with backend.new() as other:
        decided = await asyncio.gather(
            *(go_on(each, thread.id, approve(reply)) for each in (store, other) * 3), return_exceptions=True
        )
    [turn] = [each for each in decided if isinstance(each, StartedTurn)]
    assert [type(each) for each in decided if each is not turn] == [TurnContinued] * 5
    await finish(store, turn)
    with pytest.raises(TurnContinued):
        await go_on(store, thread.id, approve(reply))
    with pytest.raises(TurnContinued):
        await go_on(store, thread.id, NewContinuation(new_id("turn"), reply.turn_id, None, []))


async def test_a_new_message_refuses_what_is_open(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    await talk(store, thread.id)
    reply = await pause(store, thread.id, None, open_call(), ToolCall(id="c", tool="t", arguments={}, result=1, duration_ms=1))
    async with backend.new() as other:
        turn = await begin(other, thread.id, ask("Never mind."))
        assert [message.status for message in turn.history[-2:]] == ["cancelled", "cancelled"]
        assert outcomes(turn.history[-1]) == ["refused", "completed"]
        [refused, _] = turn.history[-1].tool_calls
        assert (refused.decided_by, refused.reason) == ("ann", WENT_ON)
        ended = (await store.get_progress(ANN, thread.id, reply.turn_id, after=None)).turn
        assert (ended.status, ended.message) == ("cancelled", turn.history[-1])
        with pytest.raises(TurnEnded):
            await go_on(store, thread.id, approve(reply))
        await end(other, turn)
    assert statuses(await messages(store, thread.id))[2:] == ["cancelled", "cancelled", "completed", "completed"]
    assert (await store.get_thread(ANN, thread.id)).open_turn_id is None


async def test_the_key_of_a_paused_message_gets_its_reply_and_refuses_nothing(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id, ask(key="k"))
    found = await store.begin_turn(ANN, thread.id, ask(key="k"), lease_seconds=30, history_limit=9)
    assert found == ReplayedTurn(reply)
    assert (await store.get_thread(ANN, thread.id)).open_turn_id == reply.turn_id


async def test_cancelling_refuses_what_is_open(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    async with backend.new() as other:
        await other.cancel_paused(ANN, thread.id, reply.turn_id, BY)
        with pytest.raises(TurnEnded):
            await other.cancel_paused(ANN, thread.id, reply.turn_id, BY)
    found = await messages(store, thread.id)
    assert (statuses(found), outcomes(found[1])) == (["cancelled", "cancelled"], ["refused"])
    assert (await store.get_thread(ANN, thread.id)).open_turn_id is None
    with pytest.raises(TurnEnded):
        await go_on(store, thread.id, approve(reply))
    assert [message.status for message in (await begin(store, thread.id)).history] == ["cancelled", "cancelled"]


async def test_what_runs_or_has_ended_otherwise_is_not_paused(store: ThreadStore, thread: Thread) -> None:
    reply = await talk(store, thread.id)
    for attempt in (go_on(store, thread.id, approve(reply)), store.cancel_paused(ANN, thread.id, reply.turn_id, BY)):
        with pytest.raises(TurnEnded):
            await attempt
    dead = await begin(store, thread.id)
    with time_machine.travel(utcnow() + LATER, tick=True), pytest.raises(TurnEnded):
        await store.cancel_paused(ANN, thread.id, dead.turn_id, BY)
    with pytest.raises(TurnEnded):
        await go_on(store, thread.id, NewContinuation(new_id("turn"), dead.turn_id, None, []))
    await end(store, dead)
    missing = NewContinuation(new_id("turn"), new_id("turn"), None, [])
    with pytest.raises(TurnNotFound):
        await go_on(store, thread.id, missing)
    with pytest.raises(TurnNotFound):
        await store.cancel_paused(ANN, thread.id, new_id("turn"), BY)
    paused = await pause(store, thread.id)
    turn = await go_on(store, thread.id, approve(paused))
    with pytest.raises(TurnInProgress) as busy:
        await begin(store, thread.id)
    assert busy.value.turn_id == turn.turn_id


async def test_a_stranger_finds_no_paused_turn(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    for attempt in (
        go_on(store, thread.id, approve(reply), owner=BOB),
        store.cancel_paused(BOB, thread.id, reply.turn_id, BY),
        store.list_approvals(BOB, thread.id),
        store.remove_approvals(BOB, thread.id),
    ):
        with pytest.raises(ThreadNotFound):
            await attempt
    assert (await store.get_thread(ANN, thread.id)).open_turn_id == reply.turn_id


async def test_tools_that_need_not_ask_are_remembered_by_thread(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    assert await store.list_approvals(ANN, thread.id) == []
    first = await pause(store, thread.id)
    turn = await go_on(store, thread.id, approve(first, remember=frozenset({"send_refund"})))
    assert turn.allowed_tools == {"send_refund"}
    second = await pause_again(store, turn)
    turn = await go_on(store, thread.id, approve(second, remember=frozenset({"another", "send_refund"})))
    await finish(store, turn)
    async with backend.new() as other:
        approvals = await other.list_approvals(ANN, thread.id)
        assert [each.tool for each in approvals] == ["another", "send_refund"]
        assert approvals[1].created_at < approvals[0].created_at
        turn = await begin(other, thread.id)
        assert turn.allowed_tools == {"another", "send_refund"}
        await end(other, turn)
        await other.remove_approvals(ANN, thread.id)
    assert await store.list_approvals(ANN, thread.id) == []
    assert (await begin(store, thread.id)).allowed_tools == frozenset()


async def test_a_turn_that_took_anothers_place_says_so(store: ThreadStore, thread: Thread) -> None:
    new = ask()
    turn = await begin(store, thread.id, type(new)(new.turn_id, "Rather this.", {}, cancelled_turn_id="turn_" + "0" * 32))
    for _ in range(2):
        found = (await store.get_progress(ANN, thread.id, turn.turn_id, after=None)).turn
        assert found.cancelled_turn_id == "turn_" + "0" * 32
        if found.status == "running":
            await end(store, turn)


async def test_a_thread_that_waits_for_somebody_can_be_deleted(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    assert await store.delete_thread(ANN, thread.id)
    with pytest.raises(ThreadNotFound):
        await go_on(store, thread.id, approve(reply))


async def test_a_turn_is_listed_with_the_one_that_goes_on(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    turn = await go_on(store, thread.id, approve(reply))
    await store.commit_turn(
        turn,
        TurnEnd(message=turn.message.model_copy(update={"status": "completed"}), reply=answer(turn), final_event_id=9),
    )
    listed = {each.id: each for each in await store.list_turns(ANN, thread.id, limit=9, after=None)}
    assert (listed[reply.turn_id].status, listed[reply.turn_id].continued_by) == ("paused", turn.turn_id)
