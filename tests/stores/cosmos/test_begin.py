"""A turn that cannot begin leaves nothing behind on Cosmos DB: neither its lease nor its message (audit M3)."""

from __future__ import annotations

import asyncio

import pytest

from cosmos_store import CosmosStore
from errors import StoreMisconfigured, StoreUnavailable
from tests.fakes.cosmos import FakeCosmos
from tests.fakes.cosmos_requests import Kind
from tests.stores.cosmos.conftest import needs_faults
from tests.support.stores import ANN, QUICK, CosmosBackend, ask, begin, end, messages, states, talk

ENDED = [(1, "user", "completed"), (2, "assistant", "completed")]
pytestmark = needs_faults


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_history_that_cannot_be_read_gives_the_lease_back(
    store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos, key: str | None
) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    fake.fail("query", "messages", drop="before", times=1000)
    with pytest.raises(StoreUnavailable):
        await begin(store, thread.id, ask(key=key))
    fake.heal()
    async with backend.new() as other:
        assert await messages(other, thread.id) == []
        assert (await other.get_thread(ANN, thread.id)).message_count == 0
        await talk(other, thread.id, key=key)
        assert await states(other, thread.id) == ENDED


async def test_a_history_that_may_not_be_read_gives_the_lease_back(store: CosmosStore, fake: FakeCosmos) -> None:
    """Cosmos DB refuses so while an account fails over."""
    thread = await store.create_thread(ANN, title=None, metadata={})
    fake.fail("query", "messages", status=403)
    with pytest.raises(StoreMisconfigured):
        await begin(store, thread.id)
    await talk(store, thread.id)
    assert await states(store, thread.id) == ENDED


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_lease_whose_answer_is_lost_for_good_is_given_back(
    store: CosmosStore, fake: FakeCosmos, key: str | None
) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    fake.fail("batch" if key else "patch", "messages", drop="after", times=QUICK.attempts)
    with pytest.raises(StoreUnavailable):
        await begin(store, thread.id, ask(key=key))
    fake.heal()
    await talk(store, thread.id, key=key)
    assert await states(store, thread.id) == ENDED


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("kind", ["query", "lease"])
async def test_a_process_that_stops_while_it_begins_gives_the_lease_back(
    store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos, kind: str, key: str | None
) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    lease: Kind = "batch" if key else "patch"
    # Its answer is lost, so that it is there but begin does not know.
    held = fake.fail("query", "messages", hold=True)
    late = fake.fail(lease, "messages", drop="after", times=QUICK.attempts) if kind == "lease" else None
    beginning = asyncio.create_task(begin(store, thread.id, ask(key=key)))
    await (late.reached if late else held.reached).wait()
    beginning.cancel()
    await asyncio.gather(beginning, return_exceptions=True)
    assert beginning.cancelled()
    fake.heal()
    async with backend.new() as other:
        await talk(other, thread.id, key=key)
        assert await states(other, thread.id) == ENDED


async def test_a_second_attempt_that_cannot_begin_leaves_the_message_where_it_was(store: CosmosStore, fake: FakeCosmos) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
    fake.fail("query", "messages", drop="before", times=1000)
    with pytest.raises(StoreUnavailable):
        await begin(store, thread.id, ask(key="k"))
    fake.heal()
    assert await states(store, thread.id) == [(1, "user", "failed")]
    turn = await begin(store, thread.id, ask(key="k"))
    assert turn.is_retry
    await end(store, turn)
    assert await states(store, thread.id) == ENDED


async def test_an_attempt_that_was_refused_gives_nobody_elses_lease_back(store: CosmosStore, fake: FakeCosmos) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    turn = await begin(store, thread.id)
    fake.fail("read", "messages", drop="before", times=1000)
    with pytest.raises(StoreUnavailable):
        await begin(store, thread.id)
    fake.heal()
    await end(store, turn)
    assert await states(store, thread.id) == ENDED


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("position", [0, 1])
async def test_a_lease_that_is_on_its_way_when_the_process_stops_is_given_back_after_it(
    store: CosmosStore, fake: FakeCosmos, position: int, key: str | None
) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    request = fake.fail(None, "messages", hold=True, skip=position)
    beginning = asyncio.create_task(begin(store, thread.id, ask(key=key)))
    await request.reached.wait()
    beginning.cancel()
    # What does not wait for the lease has given it back by then.
    await asyncio.wait({beginning}, timeout=0.1)
    request.released.set()
    await asyncio.gather(beginning, return_exceptions=True)
    assert beginning.cancelled()
    await talk(store, thread.id, key=key)
    assert await states(store, thread.id) == ENDED
