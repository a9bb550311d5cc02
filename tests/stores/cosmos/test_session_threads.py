"""Session threads on Cosmos DB, where a deletion takes several requests: one that comes late must not touch the new thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
import time_machine

from cosmos_store import CosmosStore
from errors import StoreUnavailable, ThreadDeleting, ThreadNotFound
from models import utcnow
from tests.fakes.cosmos import FakeCosmos
from tests.support.positions import every_position
from tests.support.stores import ANN, CosmosBackend, messages, talk


async def in_order(store: CosmosStore, thread_id: str) -> None:
    """Check that the new thread has its two messages, and is on the list as it is."""
    # Its entry is brought up to date in the background.
    await store._parts.rows.aclose()
    assert [message.content for message in await messages(store, thread_id)] == ["new", "4"]
    [listed] = (await store.list_threads(ANN, status=None, limit=10, cursor=None)).items
    assert (listed.id, listed.message_count, listed.last_message_preview) == (thread_id, 2, "4")


# The requests that come after the one that marks the thread.
@pytest.mark.parametrize(
    ("how", "position"),
    every_position([("deleted", each) for each in range(1, 9)]) + every_position([("erased", each) for each in range(3, 9)]),
)
async def test_a_deletion_that_comes_late_leaves_the_new_thread_alone(
    backend: CosmosBackend, fake: FakeCosmos, how: str, position: int
) -> None:
    async with backend.new() as slow, backend.new() as store:
        old = await slow.open_session_thread(ANN, "s")
        await talk(slow, old.id, "old")
        await slow._parts.rows.aclose()
        erasure = await store.begin_erasure(ANN)
        request = fake.fail(None, hold=True, skip=position)
        late = asyncio.create_task(
            slow.delete_thread(ANN, old.id) if how == "deleted" else slow.erase_threads(ANN, erasure.id, limit=10)
        )
        await request.reached.wait()
        with suppress(ThreadNotFound):
            await store.delete_thread(ANN, old.id)
        new = await store.open_session_thread(ANN, "s")
        await talk(store, new.id, "new")
        request.released.set()
        await late
        await in_order(store, new.id)


async def test_a_deletion_that_runs_is_waited_for_and_one_that_was_stopped_is_completed(
    backend: CosmosBackend, fake: FakeCosmos
) -> None:
    with time_machine.travel(utcnow(), tick=True) as clock:
        async with backend.new() as store:
            old = await store.open_session_thread(ANN, "s")
            await talk(store, old.id, "old")
            request = fake.fail("patch", "threads", hold=True)
            deletion = asyncio.create_task(store.delete_thread(ANN, old.id))
            await request.reached.wait()
            with pytest.raises(ThreadDeleting) as deleting:
                await store.open_session_thread(ANN, "s")
            assert deleting.value.retry_after == 1
            deletion.cancel()
            await asyncio.gather(deletion, return_exceptions=True)
            request.released.set()
            clock.shift(timedelta(minutes=2))
            new = await store.open_session_thread(ANN, "s")
            assert new.id == old.id
            await talk(store, new.id, "new")
            await in_order(store, new.id)


async def test_a_list_entry_that_is_brought_up_to_date_late_is_not_the_new_threads(
    backend: CosmosBackend, fake: FakeCosmos
) -> None:
    async with backend.new() as slow, backend.new() as store:
        old = await slow.open_session_thread(ANN, "s")
        for _ in range(3):
            await talk(slow, old.id, "old")
        request = fake.fail("patch", "threads", hold=True)
        await talk(slow, old.id, "old")
        await request.reached.wait()
        await store.delete_thread(ANN, old.id)
        new = await store.open_session_thread(ANN, "s")
        await talk(store, new.id, "new")
        request.released.set()
        await slow._parts.rows.aclose()
        await in_order(store, new.id)


async def test_one_whose_list_entry_was_not_written_is_listed_from_its_next_use_on(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos
) -> None:
    fake.fail("create", "threads", status=429, headers={"x-ms-retry-after-ms": "1"}, times=1000)
    with pytest.raises(StoreUnavailable):
        await store.open_session_thread(ANN, "s")
    fake.heal()
    async with backend.new() as other:
        thread = await other.open_session_thread(ANN, "s")
        await talk(other, thread.id, "new")
    await in_order(store, thread.id)
    assert await store.list_thread_ids(ANN, limit=10, after=None) == [thread.id]
