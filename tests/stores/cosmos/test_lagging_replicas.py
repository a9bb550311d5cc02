"""What one instance has just made is there on the others, whatever their replicas have; and what that costs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from cosmos_store import CosmosStore
from errors import ErasureNotFound, ThreadNotFound, TurnNotFound
from models import Feedback, Thread, new_id, utcnow
from tests.fakes.cosmos import FakeCosmos
from tests.support.stores import ANN, CosmosBackend, begin, messages, talk

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account's replicas lag when they like")


@pytest.fixture
async def thread(store: CosmosStore, fake: FakeCosmos) -> Thread:
    """A thread that no replica has yet."""
    fake.container("messages").lag()
    fake.container("threads").lag()
    return await store.create_thread(ANN, title="Sums", metadata={})


@pytest.fixture
async def other(backend: CosmosBackend) -> AsyncIterator[CosmosStore]:
    """Another instance: its sessions have seen nothing."""
    async with backend.new() as other:
        yield other


async def test_a_thread_that_another_instance_has_just_made_is_found(other: CosmosStore, thread: Thread) -> None:
    """Audit M4."""
    assert await other.get_thread(ANN, thread.id) == thread


async def test_messages_and_turns_of_such_a_thread_are_found(store: CosmosStore, other: CosmosStore, thread: Thread) -> None:
    """Audit M4."""
    reply = await talk(store, thread.id)
    assert (await messages(other, thread.id))[1:] == [reply]
    assert [turn.id for turn in await other.list_turns(ANN, thread.id, limit=9, after=None)] == [reply.turn_id]


async def test_turns_are_found_first_of_all(store: CosmosStore, other: CosmosStore, thread: Thread) -> None:
    """Audit M4: the list itself must not come from before the thread was found."""
    reply = await talk(store, thread.id)
    assert [turn.id for turn in await other.list_turns(ANN, thread.id, limit=9, after=None)] == [reply.turn_id]


async def test_a_turn_that_was_accepted_is_found_where_its_location_leads(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    """Audit M4: after a 202, where the thread itself is known already."""
    fake.container("messages").lag()
    turn = await begin(store, thread.id)
    assert (await other.get_progress(ANN, thread.id, turn.turn_id, after=None)).turn.status == "running"
    await other.request_cancel(ANN, thread.id, turn.turn_id)
    fake.container("messages").catch_up()
    assert await store.is_cancel_requested(turn)


async def test_an_answer_of_such_a_thread_can_be_rated(store: CosmosStore, other: CosmosStore, thread: Thread) -> None:
    """Audit M4."""
    reply = await talk(store, thread.id)
    feedback = Feedback(rating="up", timestamp=utcnow())
    assert (await other.set_feedback(ANN, thread.id, reply.id, feedback)).feedback == feedback


async def test_an_erasure_that_was_accepted_is_found(store: CosmosStore, other: CosmosStore, thread: Thread) -> None:
    """Audit M4."""
    erasure = await store.begin_erasure(ANN)
    assert await other.get_erasure(ANN, erasure.id) == erasure


async def test_looking_twice_costs_only_what_is_not_there(other: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    async def requests_of(thread_id: str) -> list[str]:
        start = len(fake.log)
        await other.get_thread(ANN, thread_id)
        return [entry.kind for entry in fake.requests(start) if entry.container == "messages"]

    assert await requests_of(thread.id) == ["read", "patch", "read"]
    assert await requests_of(thread.id) == ["read"]
    before, start = fake.container("messages").lsn, len(fake.log)
    with pytest.raises(ThreadNotFound):
        await other.get_thread(ANN, new_id("thread"))
    with pytest.raises(TurnNotFound):
        await other.get_progress(ANN, thread.id, new_id("turn"), after=None)
    with pytest.raises(ErasureNotFound):
        await other.get_erasure(ANN, new_id("erasure"))
    assert fake.container("messages").lsn == before
    assert sum(entry.kind == "patch" for entry in fake.requests(start)) == 3
