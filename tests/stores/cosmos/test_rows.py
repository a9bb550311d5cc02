"""The list's rows on Cosmos DB: they follow their threads, late or not at all, and never go back in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cosmos_store import CosmosStore
from models import Thread
from tests.fakes.cosmos import FakeCosmos
from tests.stores.cosmos.conftest import needs_faults
from tests.support.stores import ANN, CosmosBackend, ask, talk

pytestmark = needs_faults


def row(fake: FakeCosmos) -> dict[str, Any]:
    """Return the only row of the list of threads."""
    (row,) = fake.container("threads").everything()
    return row


async def test_a_late_row_never_overwrites_a_newer_one(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    late = fake.fail("patch", "threads", hold=True)
    await talk(store, thread.id)
    await late.reached.wait()
    newest = await store.update_thread(ANN, thread.id, {"title": "New"})
    late.released.set()
    await store.__aexit__(None, None, None)
    assert (row(fake)["title"], row(fake)["message_count"]) == ("New", 2)
    assert Thread.model_validate(row(fake)) == newest


async def test_a_late_row_never_brings_a_deleted_thread_back(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    late = fake.fail("patch", "threads", hold=True)
    await talk(store, thread.id)
    await late.reached.wait()
    await store.delete_thread(ANN, thread.id)
    late.released.set()
    await store.__aexit__(None, None, None)
    assert fake.container("threads").everything() == []


@pytest.mark.parametrize("looker", ["a replay", "a reader"])
async def test_whoever_comes_next_mends_a_row_that_was_lost(
    backend: CosmosBackend, fake: FakeCosmos, caplog: pytest.LogCaptureFixture, looker: str
) -> None:
    async with backend.new() as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        fake.fail("patch", "threads", status=503, times=1000)
        await talk(store, thread.id, key="k")
    assert f"list entry update of thread {thread.id} failed" in caplog.text
    assert row(fake)["message_count"] == 0
    fake.heal()
    async with backend.new() as store:
        if looker == "a reader":
            await store.get_thread(ANN, thread.id)
        else:
            await store.begin_turn(ANN, thread.id, ask(key="k"), lease_seconds=30, history_limit=40)
    assert row(fake)["message_count"] == 2


async def test_a_busy_threads_row_is_written_at_once_then_behind_and_at_the_end(
    backend: CosmosBackend, fake: FakeCosmos
) -> None:
    async with backend.new(row_seconds=1000) as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        first = fake.fail("patch", "threads")
        start = len(fake.log)
        await talk(store, thread.id)
        await first.reached.wait()
        for _ in range(4):
            await talk(store, thread.id)
        assert row(fake)["message_count"] == 2
    assert row(fake)["message_count"] == 10
    assert [each.kind for each in fake.requests(start) if each.container == "threads"] == ["patch", "patch"]


async def test_a_row_that_waits_is_written_in_time(backend: CosmosBackend, fake: FakeCosmos) -> None:
    async with backend.new(row_seconds=0.05) as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        second = fake.fail("patch", "threads", skip=1)
        await talk(store, thread.id)
        await talk(store, thread.id)
        await second.reached.wait()


async def test_the_list_shows_the_turns_of_its_own_process(backend: CosmosBackend) -> None:
    async with backend.new(row_seconds=1000) as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        for turns in range(1, 4):
            await talk(store, thread.id)
            [listed] = (await store.list_threads(ANN, status=None, limit=9, cursor=None)).items
            assert listed.message_count == 2 * turns


@pytest.mark.parametrize("turns", [1, 2])
async def test_who_stops_waiting_for_the_list_stops_no_row(backend: CosmosBackend, fake: FakeCosmos, turns: int) -> None:
    """Neither one that is being written nor one that waits; others may wait for it, too."""
    async with backend.new(row_seconds=1000) as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        held = fake.fail("patch", "threads", hold=True, skip=turns - 1)
        for _ in range(turns):
            await talk(store, thread.id)
        leaving, staying = [asyncio.create_task(store.list_threads(ANN, status=None, limit=9, cursor=None)) for _ in range(2)]
        await held.reached.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
        held.released.set()
        [listed] = (await staying).items
        assert listed.message_count == 2 * turns


async def test_the_next_turn_mends_the_row_that_a_crash_has_lost(backend: CosmosBackend, fake: FakeCosmos) -> None:
    async with backend.new(row_seconds=1000) as crashed, backend.new(row_seconds=1000) as store:
        thread = await crashed.create_thread(ANN, title=None, metadata={})
        for _ in range(3):
            await talk(crashed, thread.id)
        mended = fake.fail("patch", "threads")
        await talk(store, thread.id)
        await mended.reached.wait()
        await store.list_threads(ANN, status=None, limit=9, cursor=None)
        assert row(fake)["message_count"] == 8
