"""What only the Cosmos DB store has of feedback and users' state: faults at every request, and what a request touches."""

from __future__ import annotations

import asyncio

import pytest

from cosmos_store import CosmosStore
from errors import StateChanged
from models import Feedback, UserState, utcnow
from tests.fakes.cosmos import FakeCosmos
from tests.stores.cosmos.conftest import FAULTS, needs_faults
from tests.support.groups import GROUP, answered
from tests.support.positions import Positions, every_position
from tests.support.stores import ANN, CosmosBackend, messages, talk

pytestmark = needs_faults
UP = Feedback(rating="up", comment="Kind", timestamp=utcnow())
DOWN = Feedback(rating="down", comment="Secret", timestamp=utcnow())


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


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_authors_feedback_with_one_fault_anywhere(
    store: CosmosStore, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    for position in positions:
        thread = await store.create_thread(GROUP, title=None, metadata={})
        reply = await answered(store, thread.id)
        failing = fake.fail(None, skip=position, **FAULTS[fault])
        for feedback in (UP, DOWN):
            await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", feedback)
            (given,) = await store.list_author_feedback(GROUP, thread.id, "ann")
            assert (given.message_id, given.feedback) == (reply.id, feedback)
        await store.erase_exchanges(GROUP, thread.id, "bob")
        fake.heal()
        assert await store.list_author_feedback(GROUP, thread.id, "ann") == []
        assert "Secret" not in str(fake.container("messages").everything())
        positions.tried(failing)
    assert positions.count >= 10


@pytest.mark.parametrize("author", ["ann", "bob"])
async def test_feedback_that_comes_while_its_answer_is_erased_is_not_left(
    store: CosmosStore, backend: CosmosBackend, fake: FakeCosmos, author: str
) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    reply = await answered(store, thread.id)
    held = fake.fail("batch", "messages", hold=True)
    erasing = asyncio.create_task(store.erase_exchanges(GROUP, thread.id, "bob"))
    await held.reached.wait()
    async with backend.new() as other:
        assert await other.set_author_feedback(GROUP, thread.id, reply.id, author, DOWN)
    held.released.set()
    await erasing
    assert "Secret" not in str(fake.container("messages").everything())


@pytest.mark.parametrize("position", every_position(range(12)))
async def test_an_erasure_that_is_stopped_leaves_no_feedback_on_what_is_erased(
    store: CosmosStore, fake: FakeCosmos, position: int
) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    reply = await answered(store, thread.id)
    await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", DOWN)
    request = fake.fail(None, hold=True, skip=position)
    erasing = asyncio.create_task(store.erase_exchanges(GROUP, thread.id, "bob"))
    await request.reached.wait()
    erasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await erasing
    fake.heal()
    is_erased = (await messages(store, thread.id, GROUP))[1].is_erased
    assert ("Secret" in str(fake.container("messages").everything())) != is_erased


async def test_an_authors_feedback_changes_no_other_document_and_is_read_by_no_turn(
    store: CosmosStore, fake: FakeCosmos
) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    reply = await talk(store, thread.id, owner=GROUP)
    container, since = fake.container("messages"), len(fake.log)
    unchanged = {id: {**each} for id, each in container.documents(thread.id).items()}
    for expected in (["read", "batch"], ["read", "batch", "patch"]):
        since = len(fake.log)
        await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", UP)
        assert [each.kind for each in fake.requests(since) if each.container == "messages"] == expected
    changed = {id: each for id, each in container.documents(thread.id).items() if each != unchanged.get(id)}
    (mine,) = [each for id, each in changed.items() if id not in unchanged]
    assert set(changed) == {reply.id, mine["id"]}
    for document in (changed[reply.id], unchanged[reply.id]):
        document.pop("_etag"), document.pop("_ts")
    assert changed[reply.id] == unchanged[reply.id]


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
