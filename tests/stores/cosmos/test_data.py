"""What only the Cosmos DB store has of data rights: steps that can fail or stop one by one, lost rows, and lagging replicas."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from pydantic import ValidationError

from cosmos_store import CosmosStore
from data_rights.retention import Retention
from errors import StoreUnavailable, ThreadNotFound
from events import TurnStarted
from models import Thread, UserState, utcnow
from stores.types import EventBatch, OwnedRef
from tests.fakes.cosmos import FakeCosmos
from tests.stores.cosmos.conftest import FAULTS, needs_faults
from tests.support.positions import Positions
from tests.support.stores import ANN, CosmosBackend, ask, begin, end, talk

pytestmark = needs_faults


async def run(store: CosmosStore, *, pauses: int = 3) -> int | None:
    """Run an erasure; return the number of threads in the receipt, or ``None`` if something is left."""
    erasure = await store.begin_erasure(ANN)
    for _ in range(pauses):
        while await store.erase_threads(ANN, erasure.id, limit=2):
            pass
        if await store.complete_erasure(ANN, erasure.id):
            return (await store.get_erasure(ANN, erasure.id)).threads
    return None


def left(fake: FakeCosmos) -> list[dict[str, Any]]:
    """Return all documents but receipts."""
    documents = fake.container("messages").everything() + fake.container("threads").everything()
    return [document for document in documents if document.get("status") != "completed" or document.get("type") != "erasure"]


async def some_data(store: CosmosStore, threads: int = 2) -> None:
    for key in ("k", None)[:threads]:
        await talk(store, (await store.create_thread(ANN, title="Sums", metadata={})).id, key=key)
    await store.put_user_state(ANN, UserState(preferences={"units": "metric"}))


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_erasure_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            await some_data(store, 1)
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            threads = await run(store)
        fake.heal()
        assert left(fake) == []
        # A batch whose answer is lost is sent again and refused: that it was applied shows in what is left.
        assert threads == 1
        positions.tried(failing)
    assert positions.count >= 15


async def test_an_erasure_stopped_at_any_request_is_completed_by_another_process(
    backend: CosmosBackend, fake: FakeCosmos, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            await some_data(store)
            request = fake.fail(None, hold=True, skip=position)
            running = asyncio.create_task(run(store))
            reached = asyncio.create_task(request.reached.wait())
            await asyncio.wait([running, reached], return_when=asyncio.FIRST_COMPLETED)
            for task in (running, reached):
                task.cancel()
            await asyncio.gather(running, reached, return_exceptions=True)
        stopped = request.reached.is_set()
        positions.tried(request)
        fake.heal()
        request.released.set()
        async with backend.new() as other:
            erasures = [each for each in fake.container("threads").everything() if "erasure" in each["id"]]
            threads = await run(other)
        assert left(fake) == []
        if stopped and any(each["id"] == "erasure" for each in erasures):
            assert threads == 2
        fake.container("threads")._partitions.clear()
    assert positions.count >= 15


async def test_a_thread_that_lost_its_process_before_its_row_was_written(store: CosmosStore, fake: FakeCosmos) -> None:
    fake.fail("create", "threads", status=503, times=100)
    with pytest.raises(StoreUnavailable):
        await store.create_thread(ANN, title="Sums", metadata={})
    fake.heal()
    # Its row may still be on its way.
    assert await run(store) is None
    with time_machine.travel(utcnow() + timedelta(seconds=61), tick=True):
        assert await run(store) == 1
    assert left(fake) == []


async def test_a_thread_that_is_being_created_leaves_no_row_behind(
    store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos
) -> None:
    row = fake.fail("create", "threads", hold=True)
    async with backend.new() as other:
        creation = asyncio.create_task(other.create_thread(ANN, title="Sums", metadata={}))
        await row.reached.wait()
        assert await run(store) is None
        row.released.set()
        await creation
    assert await run(store) == 1
    assert left(fake) == []


async def test_an_erasure_that_is_about_to_end_looks_again_if_it_is_asked_for_again(
    store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos
) -> None:
    erasure = await store.begin_erasure(ANN)
    ending = fake.fail("batch", "threads", hold=True)
    completion = asyncio.create_task(store.complete_erasure(ANN, erasure.id))
    await ending.reached.wait()
    async with backend.new() as other:
        await other.create_thread(ANN, title="Sums", metadata={})
        assert (await other.begin_erasure(ANN)).id == erasure.id
    ending.released.set()
    assert not await completion
    assert await run(store) == 1


async def test_threads_of_other_processes_are_seen_through_a_lagging_replica(
    store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos
) -> None:
    await store.list_threads(ANN, status=None, limit=1, cursor=None)
    fake.container("threads").lag()
    async with backend.new() as other:
        await other.create_thread(ANN, title="Sums", metadata={})
    assert await run(store) == 1


async def test_events_that_come_while_their_thread_is_deleted_do_not_stay(store: CosmosStore, fake: FakeCosmos) -> None:
    thread = await store.create_thread(ANN, title="Sums", metadata={})
    turn = await begin(store, thread.id, ask())
    last = fake.fail("batch", "messages", hold=True)
    deletion = asyncio.create_task(store.delete_thread(ANN, thread.id))
    await last.reached.wait()
    batch = EventBatch(thread.id, turn.turn_id, [TurnStarted(id=1, turn_id=turn.turn_id)], 3600)
    await store.save_events([batch])
    last.released.set()
    await deletion
    await store.save_events([batch])
    assert left(fake) == []


# Retention


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_idle_thread_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            thread = await store.create_thread(ANN, title="Sums", metadata={})
            await begin(store, thread.id)
            with time_machine.travel(utcnow() + timedelta(days=2), tick=True):
                failing = fake.fail(None, skip=position, **FAULTS[fault])
                assert await store.delete_thread(ANN, thread.id, idle_since=utcnow() - timedelta(days=1))
        fake.heal()
        assert left(fake) == []
        positions.tried(failing)
    assert positions.count >= 6


@pytest.mark.parametrize("kind", ["begin", "renew", "update"])
async def test_a_thread_that_wakes_up_between_the_look_and_the_deletion_stays(
    store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos, kind: str
) -> None:
    thread = await store.create_thread(ANN, title="Sums", metadata={})
    turn = await begin(store, thread.id) if kind == "renew" else None
    with time_machine.travel(utcnow() + timedelta(days=2), tick=True):
        write = fake.fail("patch", "messages", hold=True)
        deletion = asyncio.create_task(store.delete_thread(ANN, thread.id, idle_since=utcnow() - timedelta(days=1)))
        await write.reached.wait()
        async with backend.new() as other:
            if turn:
                await other.renew_lease(turn, lease_seconds=30)
            elif kind == "begin":
                await begin(other, thread.id)
            else:
                await other.update_thread(ANN, thread.id, {"title": "New"})
        write.released.set()
        assert not await deletion
        if turn:
            await end(store, turn)
        await store.get_thread(ANN, thread.id)


async def test_a_deletion_that_was_stopped_is_found(store: CosmosStore, fake: FakeCosmos, backend: CosmosBackend) -> None:
    thread: Thread = await store.create_thread(ANN, title="Sums", metadata={})
    fake.fail("query", "messages", status=503, times=100)
    with pytest.raises(StoreUnavailable):
        await store.delete_thread(ANN, thread.id)
    fake.heal()
    long_ago = utcnow() - timedelta(days=30)
    assert await store.idle_threads(since=long_ago, limit=10) == []
    with time_machine.travel(utcnow() + timedelta(seconds=62), tick=True):
        assert await store.idle_threads(since=long_ago, limit=10) == [OwnedRef(ANN, thread.id)]
        assert await store.delete_thread(ANN, thread.id, idle_since=long_ago)
    assert left(fake) == []
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(ANN, thread.id)


async def test_a_thread_that_cannot_be_deleted_does_not_keep_the_others(store: CosmosStore, fake: FakeCosmos) -> None:
    """Audit L13: neither from an erasure nor from a sweep, whichever comes first in their order."""
    for _ in range(2):
        threads = [(await store.create_thread(ANN, title=None, metadata={})).id for _ in range(3)]
        (damaged,) = [each for each in fake.container("messages").everything() if each["id"] == min(threads)]
        damaged["metadata"] = "?"
        with pytest.raises(ValidationError), time_machine.travel(utcnow() + timedelta(days=9), tick=True):
            await Retention(store, 1).sweep()
        assert [each["id"] for each in fake.container("messages").everything()] == [damaged["id"]]
        threads = [(await store.create_thread(ANN, title=None, metadata={})).id for _ in range(3)]
        erasure = await store.begin_erasure(ANN)
        with pytest.raises(ValidationError):
            await store.erase_threads(ANN, erasure.id, limit=10)
        (left_over,) = fake.container("messages").everything()
        assert left_over["id"] == damaged["id"]
        left_over["metadata"] = {}
        assert await run(store) == 4
