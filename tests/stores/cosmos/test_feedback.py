"""What only the Cosmos DB store has of feedback and users' state: faults at every request, and what a request touches."""

from __future__ import annotations

import asyncio
import os

import pytest

from cosmos_store import CosmosStore
from errors import StateChanged
from models import Feedback, UserState, utcnow
from tests.fakes.cosmos import FakeCosmos
from tests.stores.cosmos.conftest import FAULTS
from tests.support.positions import Positions
from tests.support.stores import ANN, CosmosBackend, messages, talk

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account has no faults to order")
UP = Feedback(rating="up", comment="Kind", timestamp=utcnow())


@pytest.mark.parametrize("fault", FAULTS)
async def test_feedback_and_state_with_one_fault_anywhere(
    store: CosmosStore, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    reply = await talk(store, thread.id)
    state = UserState()
    for position in positions:
        failing = fake.fail(None, skip=position, **FAULTS[fault])
        rated = await store.set_feedback(ANN, thread.id, reply.id, UP if position % 2 else None)
        # A write whose answer was lost is sent again and refused: it is our own all the same.
        state = await store.put_user_state(ANN, state.model_copy(update={"values": {"position": position}}))
        assert await store.get_user_state(ANN) == state
        fake.heal()
        assert (await messages(store, thread.id))[1] == rated
        positions.tried(failing)
    assert positions.count >= 4


async def test_a_lost_answer_is_not_mistaken_for_ones_own(store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos) -> None:
    first = await store.put_user_state(ANN, UserState())
    changed = first.model_copy(update={"preferences": {"units": "metric"}})
    fake.fail("batch", "threads", drop="before")
    held = fake.fail("batch", "threads", hold=True)
    async with backend.new() as other:
        writing = asyncio.create_task(store.put_user_state(ANN, changed))
        await held.reached.wait()
        won = await other.put_user_state(ANN, changed)
        held.released.set()
        with pytest.raises(StateChanged):
            await writing
    assert await store.get_user_state(ANN) == won


async def test_ones_own_write_is_known_through_a_lagging_replica(store: CosmosStore, fake: FakeCosmos) -> None:
    first = await store.put_user_state(ANN, UserState())
    fake.container("threads").lag()
    fake.fail("batch", "threads", drop="after")
    second = await store.put_user_state(ANN, first.model_copy(update={"preferences": {"units": "metric"}}))
    assert await store.get_user_state(ANN) == second
    assert second.preferences == {"units": "metric"}


async def test_feedback_reads_the_thread_and_writes_the_message_only(store: CosmosStore, fake: FakeCosmos) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    reply = await talk(store, thread.id)
    container = fake.container("messages")
    before = {id: each["_etag"] for id, each in container.documents(thread.id).items() if id != reply.id}
    since = len(fake.log)
    await store.set_feedback(ANN, thread.id, reply.id, UP)
    assert [each.kind for each in fake.requests(since) if each.container == "messages"] == ["read", "patch"]
    assert {id: each["_etag"] for id, each in container.documents(thread.id).items() if id != reply.id} == before


async def test_a_state_costs_one_request_each_way(store: CosmosStore, fake: FakeCosmos) -> None:
    state = UserState()
    for expected in ("Create", "Patch"):
        since = len(fake.log)
        state = await store.put_user_state(ANN, state)
        (request,) = fake.requests(since)
        assert (request.kind, [each["operationType"] for each in request.body]) == ("batch", [expected])
        assert ("ifMatch" in request.body[0]) == (expected == "Patch")
    since = len(fake.log)
    await store.get_user_state(ANN)
    assert [each.kind for each in fake.requests(since)] == ["read"]
