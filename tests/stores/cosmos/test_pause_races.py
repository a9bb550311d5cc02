"""Requests about a paused turn that are under way while another instance acts on it, and processes that die with them."""

from __future__ import annotations

import asyncio
import os
from typing import Literal

import pytest
import time_machine

from cosmos_store import CosmosStore
from errors import ChatError, TurnContinued, TurnEnded
from models import Thread, utcnow
from stores.types import NewContinuation, StartedTurn, TurnEnd
from tests.fakes.cosmos import METADATA, FakeCosmos, Fault
from tests.fakes.cosmos_requests import Logged
from tests.support.pauses import BY, KEPT, approve, finish, go_on, made, open_call, pause
from tests.support.positions import Positions
from tests.support.stores import ANN, LATER, CosmosBackend, begin, end, messages, talk

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account has no requests to hold")


@pytest.fixture(params=[0, 1_000_000], ids=["plain", "cached"])
def backend(request: pytest.FixtureRequest, backend: CosmosBackend) -> CosmosBackend:
    backend.cache_bytes = request.param
    return backend


@pytest.mark.parametrize("then", ["cancelled", "failed"])
async def test_history_that_was_read_before_a_pause_ended_is_not_the_latest(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread, then: str
) -> None:
    reply = await pause(other, thread.id)
    taking = fake.fail("patch", "messages", hold=True)
    beginning = asyncio.create_task(begin(store, thread.id))
    await taking.reached.wait()
    while not any(entry.kind == "query" and entry.ended for entry in fake.requests()):  # noqa: ASYNC110 - nothing else tells
        await asyncio.sleep(0)
    if then == "cancelled":
        await other.cancel_paused(ANN, thread.id, reply.turn_id, BY)
    else:
        turn = await go_on(other, thread.id, approve(reply))
        settled = turn.paused[-1].model_copy(update={"tool_calls": [made(turn.paused[-1].tool_calls[0])]})
        failed = turn.message.model_copy(update={"status": "failed"})
        await other.commit_turn(turn, TurnEnd(message=failed, reply=None, final_event_id=4, settled=settled))
    stored = await messages(other, thread.id)
    taking.released.set()
    turn = await beginning
    assert turn.history == stored
    await end(store, turn)
    assert (await begin(store, thread.id)).history[:2] == stored


async def test_what_need_not_ask_any_more_is_taken_back_while_somebody_decides(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    first = await pause(store, thread.id)
    await finish(store, await go_on(store, thread.id, approve(first, remember=frozenset({"send_refund"}))))
    second = await pause(store, thread.id)
    deciding = fake.fail("batch", "messages", hold=True)
    decision = asyncio.create_task(go_on(store, thread.id, approve(second, remember=frozenset({"another"}))))
    await deciding.reached.wait()
    await other.remove_approvals(ANN, thread.id)
    deciding.released.set()
    assert (await decision).allowed_tools == {"another"}
    assert [each.tool for each in await other.list_approvals(ANN, thread.id)] == ["another"]


async def test_a_decision_that_comes_second_is_refused(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    reply = await pause(store, thread.id)
    deciding = fake.fail("batch", "messages", hold=True)
    second = asyncio.create_task(go_on(store, thread.id, approve(reply, key="k")))
    await deciding.reached.wait()
    turn = await go_on(other, thread.id, approve(reply))
    deciding.released.set()
    with pytest.raises(TurnContinued):
        await second
    await finish(other, turn)


@pytest.mark.parametrize("drop", ["before", "after"])
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_process_that_dies_at_any_request_runs_nothing_twice_and_leaves_nothing_stuck(
    backend: CosmosBackend, fake: FakeCosmos, drop: Literal["before", "after"], key: str | None, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store, backend.new() as other:
            thread = await store.create_thread(ANN, title=None, metadata={})
            reply = await pause(store, thread.id)
            new = approve(reply, key=key)
            dying = fake.fail(None, skip=position, drop=drop, times=100)
            ran = await _decide_and_die(store, thread.id, new)
            fake.heal()
            with time_machine.travel(utcnow() + LATER, tick=True):
                ran += await _go_on_elsewhere(other, thread.id, approve(reply, key=key))
                found = await messages(other, thread.id)
                assert ran == (1 if found[1].tool_calls[0].status == "completed" else ran) <= 1
                assert found[1].tool_calls[0].status in ("completed", "unknown")
                assert found[-1].status == "completed"
                assert (await other.get_thread(ANN, thread.id)).open_turn_id is None
                last = await talk(other, thread.id)
                assert (await messages(other, thread.id))[-1] == last
        positions.tried(dying)
    assert positions.count >= 8


async def _decide_and_die(store: CosmosStore, thread_id: str, new: NewContinuation) -> int:
    """Go on with a paused turn as far as the requests get; return how often its call was made."""
    ran = 0
    try:
        turn = await go_on(store, thread_id, new)
        ran += len(turn.approved)
        await store.record_calls(turn, [open_call("acts").approved(BY)])
        await finish(store, turn)
    except ChatError:
        return ran
    return ran


async def _go_on_elsewhere(store: CosmosStore, thread_id: str, new: NewContinuation) -> int:
    try:
        started = await store.begin_continuation(ANN, thread_id, new, lease_seconds=30, history_limit=40)
    except (TurnContinued, TurnEnded):
        await talk(store, thread_id)
        return 0
    if not isinstance(started, StartedTurn):
        return 0
    await finish(store, started)
    return len(started.approved)


async def test_an_outage_behind_the_decision_keeps_no_call_from_running(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    """Else it would be unknown, although it was never started."""
    await talk(store, thread.id)
    reply = await pause(store, thread.id)
    start = len(fake.log)

    def down(entry: Logged) -> Fault | None:
        decided = any(each.kind == "batch" and each.ended for each in fake.requests(start))
        return Fault(None, None, status=503) if decided and entry.kind not in METADATA else None

    fake.chance = down
    turn = await go_on(store, thread.id, approve(reply))
    fake.chance = None
    assert (turn.approved, [each.seq for each in turn.history]) == (frozenset({"call_1"}), [1, 2])
    assert turn.pause == KEPT
    assert [call.status for each in turn.paused for call in each.tool_calls] == ["unknown"]
    assert turn.paused == [(await messages(store, thread.id))[3]]
    await finish(store, turn)
