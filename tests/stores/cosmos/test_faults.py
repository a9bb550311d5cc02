"""Whatever happens to one request to Cosmos DB, the turn is there once and whole."""

from __future__ import annotations

import asyncio

import pytest

from cosmos_store import CosmosStore
from errors import StoreUnavailable, ThreadNotFound
from models import Thread
from stores.types import TurnEnd
from tests.fakes.cosmos import FakeCosmos
from tests.stores.cosmos.conftest import FAULTS, needs_faults
from tests.support.positions import Positions, every_position
from tests.support.stores import ANN, QUICK, CosmosBackend, answer, ask, begin, end, messages, states, talk

ENDED = [(1, "user", "completed"), (2, "assistant", "completed")]
pytestmark = needs_faults


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_turn_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, key: str | None, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            thread = await store.create_thread(ANN, title=None, metadata={})
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            turn = await begin(store, thread.id, ask(key=key))
            await store.renew_lease(turn, lease_seconds=60)
            reply = await end(store, turn)
        fake.heal()
        async with backend.new() as store:
            assert (await messages(store, thread.id))[1:] == [reply]
            assert await states(store, thread.id) == ENDED
            assert (await store.get_thread(ANN, thread.id)).message_count == 2
            assert (await store.list_threads(ANN, status=None, limit=1, cursor=None)).items[0].message_count == 2
        positions.tried(failing)
    assert positions.count >= 5


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_takeover_and_a_second_attempt_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            thread = await store.create_thread(ANN, title=None, metadata={})
            await begin(store, thread.id, ask(key="k"), lease=-1)
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            turn = await begin(store, thread.id, ask(key="k"))
            assert (turn.is_retry, turn.message.seq, list(turn.history)) == (True, 1, [])
            await end(store, turn)
        fake.heal()
        async with backend.new() as store:
            assert await states(store, thread.id) == ENDED
        positions.tried(failing)
    assert positions.count >= 10


@pytest.mark.parametrize("fault", FAULTS)
async def test_threads_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    async with backend.new() as store:
        for position in positions:
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            thread = await store.create_thread(ANN, title="Old", metadata={})
            thread = await store.update_thread(ANN, thread.id, {"title": "New"})
            assert (await store.list_threads(ANN, status=None, limit=10, cursor=None)).items == [thread]
            await store.delete_thread(ANN, thread.id)
            fake.heal()
            assert fake.container("messages").everything() == []
            assert fake.container("threads").everything() == []
            positions.tried(failing)
    assert positions.count >= 10


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_an_outage_is_over_before_the_commit_is_called_again(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, drop: str
) -> None:
    turn = await begin(store, thread.id, ask(key="k"))
    message, reply = turn.message.model_copy(update={"status": "completed"}), answer(turn)
    fake.fail("batch", drop=drop, times=QUICK.attempts)
    with pytest.raises(StoreUnavailable):
        await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9))
    assert await messages(store, thread.id) == ([turn.message] if drop == "before" else [message, reply])
    await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9))
    assert await messages(store, thread.id) == [message, reply]


async def test_an_outage_at_begin_accepts_nothing(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    for new in (ask(), ask(key="k")):
        fake.fail(None, status=503, times=1000)
        with pytest.raises(StoreUnavailable):
            await begin(store, thread.id, new)
        fake.heal()
        assert await messages(store, thread.id) == []
    await talk(store, thread.id, key="k")


@pytest.mark.parametrize("position", every_position(range(9)))
async def test_a_deletion_stopped_at_any_request_is_completed_by_calling_again(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread, position: int
) -> None:
    await backend.seed(thread.id, 60)
    request = fake.fail(None, hold=True, skip=position)
    deletion = asyncio.create_task(store.delete_thread(ANN, thread.id))
    await request.reached.wait()
    deletion.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deletion
    fake.fail("patch", "messages", hold=True).released.set()
    if position:
        with pytest.raises(ThreadNotFound):
            await store.get_thread(ANN, thread.id)
        with pytest.raises(ThreadNotFound):
            await begin(store, thread.id)
    if position > 1:
        assert (await store.list_threads(ANN, status=None, limit=1, cursor=None)).items == []
    await store.delete_thread(ANN, thread.id)
    assert fake.container("messages").everything() == []
    assert fake.container("threads").everything() == []
