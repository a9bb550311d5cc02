"""Whatever happens to one request to Cosmos DB, a paused turn is decided about once."""

from __future__ import annotations

import pytest

from tests.fakes.cosmos import FakeCosmos
from tests.stores.cosmos.conftest import FAULTS, needs_faults
from tests.support.pauses import BY, approve, finish, go_on, open_call, pause, pause_again
from tests.support.positions import Positions
from tests.support.stores import ANN, CosmosBackend, ask, begin, end, messages

pytestmark = needs_faults


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_pause_and_what_goes_on_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, key: str | None, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            thread = await store.create_thread(ANN, title=None, metadata={})
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            first = await pause(store, thread.id)
            second = await pause_again(store, await go_on(store, thread.id, approve(first, key=key)), open_call("call_2"))
            turn = await go_on(store, thread.id, approve(second))
            assert turn.approved == {"call_2"}
            reply = await finish(store, turn)
        fake.heal()
        async with backend.new() as store:
            question, was_first, was_second, last = await messages(store, thread.id)
            assert (question.status, was_first.status, was_second.status, last) == ("completed", "paused", "paused", reply)
            assert [call.status for call in was_first.tool_calls + was_second.tool_calls] == ["unknown", "completed"]
            assert (await store.get_thread(ANN, thread.id)).open_turn_id is None
            listed = (await store.list_threads(ANN, status=None, open=False, limit=1, cursor=None)).items
            assert [each.message_count for each in listed] == [4]
        positions.tried(failing)
    assert positions.count >= 12


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_pause_that_nobody_goes_on_with_and_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            thread = await store.create_thread(ANN, title=None, metadata={})
            first = await pause(store, thread.id)
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            await store.cancel_paused(ANN, thread.id, first.turn_id, BY)
            await pause(store, thread.id)
            turn = await begin(store, thread.id, ask("Never mind."))
            await store.record_calls(turn, [open_call().approved(BY)])
            await end(store, turn)
        fake.heal()
        async with backend.new() as store:
            found = await messages(store, thread.id)
            assert [message.status for message in found] == ["cancelled"] * 4 + ["completed"] * 2
            assert [call.status for message in found for call in message.tool_calls] == ["refused", "refused"]
            assert (await store.get_thread(ANN, thread.id)).open_turn_id is None
        positions.tried(failing)
    assert positions.count >= 10
