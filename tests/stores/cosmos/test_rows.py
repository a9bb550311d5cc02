"""The list's rows on Cosmos DB: they follow their threads, late or not at all, and never go back in time."""

from __future__ import annotations

import os
from typing import Any

import pytest

from cosmos_store import CosmosStore
from models import Thread
from tests.fakes.cosmos import FakeCosmos
from tests.support.stores import ANN, CosmosBackend, ask, talk

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account has no faults to order")


@pytest.fixture
async def thread(store: CosmosStore) -> Thread:
    return await store.create_thread(ANN, title="Sums", metadata={})


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
