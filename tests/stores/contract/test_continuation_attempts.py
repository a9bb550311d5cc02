"""What every thread store promises about going on with a paused turn again: by its key, and after a crash."""

from __future__ import annotations

import pytest
import time_machine

from errors import IdempotencyKeyReused, LeaseLost, TurnContinued
from models import Thread, new_id, utcnow
from stores.contract import ThreadStore
from stores.types import NewContinuation, ReplayedTurn, TurnEnd
from tests.support.pauses import KEPT, approve, finish, go_on, made, open_call, outcomes, pause, statuses
from tests.support.stores import ANN, LATER, Backend, ask, begin, end, messages, talk


async def test_a_known_key_gets_the_reply(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    new = approve(reply, key="k")
    ended = await finish(store, await go_on(store, thread.id, new))
    again = NewContinuation(new_id("turn"), reply.turn_id, None, new.decisions, idempotency_key="k")
    async with backend.new() as other:
        found = await other.begin_continuation(ANN, thread.id, again, lease_seconds=30, history_limit=9)
        assert found == await other.find_replay(ANN, thread.id, again) == ReplayedTurn(ended)
        with pytest.raises(IdempotencyKeyReused):
            await go_on(other, thread.id, NewContinuation(new_id("turn"), reply.turn_id, None, ["no"], idempotency_key="k"))


async def test_another_attempt_for_its_key_finds_the_calls_as_they_were_left(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    turn = await go_on(store, thread.id, approve(reply, key="k"))
    settled = turn.paused[-1].model_copy(update={"tool_calls": [made(call) for call in turn.paused[-1].tool_calls]})
    failed = turn.message.model_copy(update={"status": "failed"})
    await store.commit_turn(turn, TurnEnd(message=failed, reply=None, final_event_id=4, settled=settled))
    again = await go_on(store, thread.id, approve(reply, key="k"))
    assert (again.approved, outcomes(again.paused[-1])) == (frozenset(), ["completed"])
    assert (again.message.seq, again.reply_seq, again.pause) == (1, 3, KEPT)
    await finish(store, again)
    assert statuses(await messages(store, thread.id)) == ["completed", "paused", "completed"]


async def test_after_a_crash_the_calls_are_unknown_and_not_made_again(
    backend: Backend, store: ThreadStore, thread: Thread
) -> None:
    reply = await pause(store, thread.id)
    dead = await go_on(store, thread.id, approve(reply, key="k"))
    with time_machine.travel(utcnow() + LATER, tick=True):
        async with backend.new() as other:
            found = await messages(other, thread.id)
            assert (statuses(found), outcomes(found[1])) == (["interrupted", "paused"], ["unknown"])
            ended = (await other.get_progress(ANN, thread.id, dead.turn_id, after=None)).turn
            assert ended.status == "interrupted"
            with pytest.raises(TurnContinued):
                await go_on(other, thread.id, approve(reply))
            again = await go_on(other, thread.id, approve(reply, key="k"))
            assert (again.approved, outcomes(again.paused[-1])) == (frozenset(), ["unknown"])
            await finish(other, again)
        with pytest.raises(LeaseLost):
            await finish(store, dead)
        assert outcomes((await messages(store, thread.id))[1]) == ["unknown"]


async def test_once_the_user_went_on_a_key_makes_no_other_attempt(store: ThreadStore, thread: Thread) -> None:
    reply = await pause(store, thread.id)
    turn = await go_on(store, thread.id, approve(reply, key="k"))
    await end(store, turn, "failed", content=None)
    await talk(store, thread.id)
    with pytest.raises(TurnContinued):
        await go_on(store, thread.id, approve(reply, key="k"))


async def test_a_later_attempt_that_pauses_goes_on_with_its_own_message(store: ThreadStore, thread: Thread) -> None:
    """Its reply stands behind other exchanges, one of which paused too, and failed to go on."""
    await end(store, await begin(store, thread.id, ask("first", key="k")), "failed", content=None)
    other = await pause(store, thread.id, ask("other"))
    await end(store, await go_on(store, thread.id, approve(other)), "failed", content=None)
    reply = await pause(store, thread.id, ask("first", key="k"), open_call("call_2"))
    turn = await go_on(store, thread.id, approve(reply))
    assert (turn.message.content, [message.id for message in turn.paused]) == ("first", [reply.id])
    assert [message.seq for message in turn.history] == [2, 3]
    assert (turn.continues, turn.approved) == (reply.turn_id, frozenset({"call_2"}))
    await finish(store, turn)
