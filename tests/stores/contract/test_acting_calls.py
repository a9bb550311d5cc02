"""What every thread store promises about tools that act: what was started is known, however its turn ends."""

from __future__ import annotations

import pytest
import time_machine

from errors import LeaseLost
from models import Thread, utcnow
from stores.contract import ThreadStore
from stores.types import TurnEnd
from tests.support.collected import Collected
from tests.support.pauses import BY, approve, go_on, made, open_call, pause
from tests.support.stores import ANN, LATER, Backend, ask, begin, end, messages


@pytest.mark.parametrize("key", [None, "k"])
async def test_calls_that_act_are_kept_with_a_message_whose_process_died(
    backend: Backend, store: ThreadStore, thread: Thread, key: str | None
) -> None:
    turn = await begin(store, thread.id, ask(key=key))
    acting = open_call().approved(BY)
    await store.record_calls(turn, [acting])
    await store.record_calls(turn, [acting, acting.model_copy(update={"id": "call_2"})])
    with time_machine.travel(utcnow() + LATER, tick=True):
        async with backend.new() as other:
            turns = await other.get_progress(ANN, thread.id, turn.turn_id, after=None)
            assert turns.turn.status == "interrupted"
            [message] = await messages(other, thread.id)
            assert [call.id for call in message.tool_calls] == ["call_1", "call_2"]
            if key is None:
                return
            again = await begin(other, thread.id, ask(key=key))
            assert [call.id for call in again.message.tool_calls] == ["call_1", "call_2"]
            await other.record_calls(again, [acting.model_copy(update={"id": "call_3"})])
    with time_machine.travel(utcnow() + 2 * LATER, tick=True):
        await store.get_progress(ANN, thread.id, again.turn_id, after=None)
        [message] = await messages(store, thread.id)
        assert [call.id for call in message.tool_calls] == ["call_1", "call_2", "call_3"]
        third = await begin(store, thread.id, ask(key=key))
        failed = third.message.model_copy(update={"status": "failed", "tool_calls": [made(acting)]})
        await store.commit_turn(third, TurnEnd(message=failed, reply=None, final_event_id=4))
        assert (await messages(store, thread.id))[0].tool_calls == [made(acting)]


async def test_calls_of_a_turn_that_has_lost_its_lease_are_not_recorded(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id)
    await end(store, turn)
    with pytest.raises(LeaseLost):
        await store.record_calls(turn, [open_call().approved(BY)])


async def test_what_a_dead_process_may_have_done_is_counted(store: ThreadStore, thread: Thread, collected: Collected) -> None:
    turn = await begin(store, thread.id)
    await store.record_calls(turn, [open_call().approved(BY)])
    with time_machine.travel(utcnow() + LATER, tick=True):
        await store.get_progress(ANN, thread.id, turn.turn_id, after=None)
        reply = await pause(store, thread.id)
        dead = await go_on(store, thread.id, approve(reply))
    with time_machine.travel(utcnow() + 3 * LATER, tick=True):
        await store.get_progress(ANN, thread.id, dead.turn_id, after=None)
    assert collected.sum("chat.tool.decisions", chat__tool__decision="unknown") == 2


async def test_what_two_dead_attempts_may_have_done_is_counted_once(
    store: ThreadStore, thread: Thread, collected: Collected
) -> None:
    for attempt in range(2):
        with time_machine.travel(utcnow() + attempt * LATER, tick=True):
            turn = await begin(store, thread.id, ask(key="k"))
            await store.record_calls(turn, [open_call(f"call_{attempt}").approved(BY)])
    with time_machine.travel(utcnow() + 2 * LATER, tick=True):
        await store.get_progress(ANN, thread.id, turn.turn_id, after=None)
    assert collected.sum("chat.tool.decisions", chat__tool__decision="unknown") == 2
