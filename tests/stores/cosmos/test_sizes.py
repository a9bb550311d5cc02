"""What Cosmos DB has no room for: a partition of 20 GB, and a transaction over 2 MB (audit L10)."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from cosmos_store import CosmosStore
from errors import ThreadFull, ThreadNotFound
from models import Owner, utcnow
from stores.types import ErasedExchanges
from tests.fakes.cosmos import FakeCosmos, Fault
from tests.fakes.cosmos_requests import Logged
from tests.support.groups import GROUP, say
from tests.support.pauses import approve, finish, go_on, pause_again
from tests.support.stores import ANN, CosmosBackend, ask, begin, end, messages

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account is not that full")
FULL = {"x-ms-substatus": "1014"}


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("in_batch", [False, True])
async def test_a_full_partition_is_a_full_thread(store: CosmosStore, fake: FakeCosmos, key: str | None, in_batch: bool) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    start = len(fake.log)
    fake.fail("batch" if key else "patch", "messages", status=403, headers=FULL, in_batch=in_batch)
    with pytest.raises(ThreadFull):
        await begin(store, thread.id, ask(key=key))
    assert not [entry for entry in fake.requests(start) if entry.kind in ("patch", "batch")][1:]
    assert await messages(store, thread.id) == []


async def test_a_partition_that_becomes_full_in_a_turn(store: CosmosStore, fake: FakeCosmos) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    turn = await begin(store, thread.id)
    fake.fail("batch", "messages", status=403, headers=FULL)
    with pytest.raises(ThreadFull):
        await end(store, turn)


@pytest.mark.parametrize("how", ["deleted", "erased", "swept"])
async def test_a_full_thread_can_be_deleted(store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos, how: str) -> None:
    """Its partition takes no write any more, but lets documents go."""
    thread = await store.create_thread(ANN, title=None, metadata={})
    await backend.seed(thread.id, 60)
    erasure = await store.begin_erasure(ANN)
    start = len(fake.log)

    def full(entry: Logged) -> Fault | None:
        has_room = any(each.kind == "batch" for each in fake.requests(start))
        return None if has_room else Fault("patch", "messages", status=403, headers=FULL)

    fake.chance = lambda entry: full(entry) if (entry.kind, entry.container) == ("patch", "messages") else None
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(Owner("acme", "bob"), thread.id)
    assert len(await messages(store, thread.id)) == 60
    if how == "deleted":
        await store.delete_thread(ANN, thread.id)
    elif how == "erased":
        assert await store.erase_threads(ANN, erasure.id, limit=10)
    else:
        assert await store.delete_thread(ANN, thread.id, idle_since=utcnow() + timedelta(minutes=1))
    assert fake.container("messages").everything() == []


async def test_a_deletion_halves_what_is_too_large_for_one_transaction(
    store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos
) -> None:
    def too_large(entry: Logged) -> Fault | None:
        too_many = entry.kind == "batch" and len(entry.body) > 8
        return Fault("batch", "messages", status=413) if too_many else None

    thread = await store.create_thread(ANN, title=None, metadata={})
    await backend.seed(thread.id, 60)
    fake.chance = too_large
    await store.delete_thread(ANN, thread.id)
    assert fake.container("messages").everything() == []
    assert fake.container("threads").everything() == []


async def test_what_is_too_much_for_one_transaction_is_erased_in_several(store: CosmosStore) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    turn = await say(store, thread.id, "ann", "secret")
    for _ in range(50):
        turn = await go_on(store, thread.id, approve(await pause_again(store, turn)), owner=GROUP)
    await finish(store, turn)
    assert await store.erase_exchanges(GROUP, thread.id, "ann") == ErasedExchanges(52, unfinished=False)
    assert all(each.is_erased for each in await messages(store, thread.id, GROUP))
