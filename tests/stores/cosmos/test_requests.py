"""Which requests go to Cosmos DB, how often and in which session: the SDK's traps and lagging replicas."""

from __future__ import annotations

import asyncio
import gc

import pytest
from azure.cosmos.aio._query_iterable_async import QueryIterable

from cosmos_store import CosmosStore
from errors import IdempotencyKeyReused, StoreUnavailable, TurnInProgress
from models import Owner, Thread
from stores.cosmos.retries import RetryPolicy
from stores.types import ReplayedTurn
from tests.fakes.cosmos import FakeCosmos
from tests.stores.cosmos.conftest import FAULTS, needs_faults
from tests.support.stores import ANN, QUICK, CosmosBackend, ask, begin, end, messages, states, talk

ENDED = [(1, "user", "completed"), (2, "assistant", "completed")]
pytestmark = needs_faults


async def test_reads_see_this_process_own_batches(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    fake.container("messages").lag()
    await talk(store, thread.id)
    assert await states(store, thread.id) == ENDED
    assert (await store.get_thread(ANN, thread.id)).message_count == 2
    assert len((await begin(store, thread.id)).history) == 2


async def test_reads_see_this_process_own_single_writes(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    fake.container("messages").lag()
    fake.container("threads").lag()
    changed = await store.update_thread(ANN, thread.id, {"title": "New"})
    assert await store.get_thread(ANN, thread.id) == changed
    assert (await store.list_threads(ANN, status=None, limit=9, cursor=None)).items == [changed]
    await store.delete_thread(ANN, thread.id)
    assert (await store.list_threads(ANN, status=None, limit=9, cursor=None)).items == []


async def test_history_sees_what_other_processes_committed(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    async with backend.new() as other:
        assert await states(other, thread.id) == []
        fake.container("messages").lag()
        await talk(store, thread.id, "First", key="k")
        assert await states(other, thread.id) == []
        assert [message.content for message in (await begin(other, thread.id)).history] == ["First", "4"]


async def test_a_key_used_by_another_process_is_seen_through_a_lagging_replica(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    async with backend.new() as other:
        fake.container("messages").lag()
        reply = await talk(store, thread.id, key="k")
        replay = await other.begin_turn(ANN, thread.id, ask(key="k"), lease_seconds=30, history_limit=40)
        assert replay == ReplayedTurn(reply)
        with pytest.raises(IdempotencyKeyReused):
            await begin(other, thread.id, ask("Another", key="k"))


async def test_a_turn_that_ends_while_it_is_looked_at_is_found(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    """Its document is not there yet when it is first looked for, so it must be looked for after the thread's lease."""
    turn = await begin(store, thread.id)
    of_the_thread = fake.fail("read", hold=True)
    looking = asyncio.create_task(store.get_progress(ANN, thread.id, turn.turn_id, after=None))
    await of_the_thread.reached.wait()
    await end(store, turn)
    of_the_thread.released.set()
    assert (await looking).turn.status == "completed"


async def test_a_batch_keeps_its_conditions_when_it_is_sent_again(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    turn = await begin(store, thread.id)
    fake.fail("batch", status=429, in_batch=True)
    await end(store, turn)
    first, second = [entry for entry in fake.log if entry.kind == "batch"]
    assert first.body == second.body
    assert turn.turn_id in second.body[-1]["resourceBody"]["condition"]


async def test_a_query_leaves_nothing_to_the_garbage_collector(store: CosmosStore, thread: Thread) -> None:
    """Audit, memory: the SDK's pages refer to themselves, and kept the history of every turn."""
    await talk(store, thread.id)
    gc.collect()
    gc.disable()
    try:
        # Those that other tests of this process have left, referred to by whatever they left besides.
        before = queries()
        assert len(await messages(store, thread.id)) == 2
        assert [each for each in queries() if not any(each is other for other in before)] == []
    finally:
        gc.enable()


def queries() -> list[QueryIterable]:
    return [each for each in gc.get_objects() if type(each) is QueryIterable]


@pytest.mark.parametrize("fault", ["dropped before", "dropped after", "429", "449", "408"])
async def test_the_sdk_sends_nothing_again_behind_our_back(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, fault: str
) -> None:
    fake.fail("patch", times=1000, **FAULTS[fault])
    start = len(fake.log)
    with pytest.raises(StoreUnavailable):
        await store.update_thread(ANN, thread.id, {"title": "New"})
    assert len(fake.requests(start)) == QUICK.attempts


async def test_a_long_wait_is_passed_on_to_the_caller(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    fake.fail("patch", status=429, headers={"x-ms-retry-after-ms": "60000"})
    start = len(fake.log)
    with pytest.raises(StoreUnavailable) as unavailable:
        await begin(store, thread.id, history=0)
    assert unavailable.value.retry_after == 60
    # The second gives back what the first may have taken.
    assert [each.kind for each in fake.requests(start)] == ["patch", "batch"]


async def test_every_request_has_a_deadline(backend: CosmosBackend, fake: FakeCosmos, thread: Thread) -> None:
    async with backend.new(retries=RetryPolicy(request_seconds=0.05)) as store:
        fake.fail("read", hold=True)
        with pytest.raises(StoreUnavailable) as unavailable:
            await store.get_thread(ANN, thread.id)
    assert isinstance(unavailable.value.__cause__, TimeoutError)


async def test_paging_stays_within_a_partition(store: CosmosStore, fake: FakeCosmos) -> None:
    for owner in (ANN, Owner("acme", "bob")):
        for _ in range(4):
            await store.create_thread(owner, title=None, metadata={})
    start, cursor, seen = len(fake.log), None, 0
    for _ in range(2):
        page = await store.list_threads(ANN, status=None, limit=2, cursor=cursor)
        cursor, seen = page.next_cursor, seen + len(page.items)
    assert (seen, cursor) == (4, None)
    assert [entry.kind for entry in fake.log[start:]] == ["query", "query"]


@pytest.mark.parametrize("count", [0, 2, 2000])
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_turn_is_three_requests_two_in_sequence(
    backend: CosmosBackend, fake: FakeCosmos, count: int, key: str | None
) -> None:
    async with backend.new() as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        if count:
            await backend.seed(thread.id, count)
        start = len(fake.log)
        held = [fake.fail(kind, hold=True) for kind in ("batch" if key else "patch", "query")]
        beginning = asyncio.create_task(begin(store, thread.id, ask(key=key)))
        for request in held:
            await request.reached.wait()
        for request in held:
            request.released.set()
        turn = await beginning
        assert len(turn.history) == min(count, 40)
        await end(store, turn)
    turn_requests = [entry for entry in fake.log[start:] if entry.container != "threads"]
    assert sorted(entry.kind for entry in turn_requests) == sorted(["batch" if key else "patch", "query", "batch"])
    assert [entry.kind for entry in fake.log[start:] if entry.container == "threads"] == ["patch"]
    assert sum(entry.charge for entry in fake.requests(start)) < 75


async def test_a_message_list_that_a_commit_overtakes_is_read_again(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    async with backend.new() as other:
        turn = await begin(store, thread.id)
        read, query = fake.fail("read", hold=True), fake.fail("query", hold=True)
        read.released.set()
        listing = asyncio.create_task(states(other, thread.id))
        await asyncio.gather(read.reached.wait(), query.reached.wait())
        await end(store, turn)
        query.released.set()
        assert await listing == ENDED


async def test_a_lease_that_arrives_after_its_turn_has_ended_is_given_back(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    turn = await begin(store, thread.id, ask())
    late = {**fake.container("messages").documents(thread.id)[thread.id]["lease"], "until": 0.0}
    reply = await end(store, turn)
    fake.container("messages").documents(thread.id)[thread.id]["lease"] = late
    await end(store, await begin(store, thread.id, ask()))
    assert await states(store, thread.id) == [*ENDED, (3, "user", "completed"), (4, "assistant", "completed")]
    assert (await store.get_progress(ANN, thread.id, turn.turn_id, after=None)).turn.message == reply


async def test_a_turn_in_progress_costs_no_write(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    await begin(store, thread.id, ask(key="k"))
    before = fake.container("messages").lsn
    for new in (ask(), ask(key="k"), ask(key="other")):
        with pytest.raises(TurnInProgress):
            await begin(store, thread.id, new)
    assert fake.container("messages").lsn == before
