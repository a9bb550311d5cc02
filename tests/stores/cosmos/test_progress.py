"""What looking at a turn costs on Cosmos DB, and what it finds."""

from __future__ import annotations

import asyncio

import pytest

from cosmos_store import CosmosStore
from errors import LeaseLost, StoreUnavailable
from events import MessageDelta
from models import Thread
from stores.cosmos.progress import CosmosProgress
from stores.types import EventBatch
from tests.fakes.cosmos import FakeCosmos
from tests.support.stores import ANN, ask, begin, end


async def test_a_look_at_a_running_turn_costs_one_point_read_and_one_query(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    """Audit M5: the thread's lease tells that it runs."""
    turn = await begin(store, thread.id)
    await store.save_events([EventBatch(thread.id, turn.turn_id, [MessageDelta(id=1, turn_id=turn.turn_id, text="a")], 60)])
    since = len(fake.log)
    for after, events in ((0, 1), (1, 0)):
        progress = await store.get_progress(ANN, thread.id, turn.turn_id, after=after)
        assert (progress.turn.status, len(progress.events)) == ("running", events)
    looks = fake.requests(since)
    assert sorted(each.kind for each in looks) == ["query", "query", "read", "read"]
    assert sum(each.charge for each in looks) < 2 * 3.5
    since = len(fake.log)
    await store.get_progress(ANN, thread.id, turn.turn_id, after=None)
    assert [each.kind for each in fake.requests(since)] == ["read"]


async def test_a_lease_that_arrives_late_does_not_let_its_turn_run_again(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    turn = await begin(store, thread.id, ask())
    late = fake.container("messages").documents(thread.id)[thread.id]["lease"]
    reply = await end(store, turn)
    fake.container("messages").documents(thread.id)[thread.id]["lease"] = late
    found = (await store.get_progress(ANN, thread.id, turn.turn_id, after=None)).turn
    assert (found.status, found.message) == ("completed", reply)


async def test_a_partition_that_does_not_answer_does_not_hold_up_the_events_of_other_turns(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    """Audit H2."""
    progress = CosmosProgress(store._containers[0], store._parts.turns._leases.end_expired, save_seconds=0.1)
    other = await store.create_thread(ANN, title=None, metadata={})
    batches = []
    for each in (thread, other):
        turn = await begin(store, each.id)
        batches.append(EventBatch(each.id, turn.turn_id, [MessageDelta(id=1, turn_id=turn.turn_id, text="a")], 60))
    held = fake.fail("batch", "messages", hold=True)
    async with asyncio.timeout(5):
        held_up, saved = sorted(await progress.save_events(batches), key=lambda outcome: outcome is None)
    assert isinstance(held_up, StoreUnavailable)
    assert saved is None
    held.released.set()
    assert await progress.save_events(batches) == [None, None]


async def test_a_lease_is_not_taken_for_lost_on_the_word_of_a_lagging_replica(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    fake.container("messages").lag()
    turn = await begin(store, thread.id)
    # No replica serves the session for so long that its token is given up.
    fake.fail("read", "messages", status=404, headers={"x-ms-substatus": "1002"}, times=1000)
    with pytest.raises(StoreUnavailable):
        await store.is_cancel_requested(turn)
    fake.heal()
    assert not await store.is_cancel_requested(turn)
    await store.delete_thread(ANN, thread.id)
    with pytest.raises(LeaseLost):
        await store.is_cancel_requested(turn)
