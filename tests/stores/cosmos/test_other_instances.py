"""What one instance has just made is not 404 on another, whose replica lags (audit M4)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from cosmos_store import CosmosStore
from errors import ErasureNotFound, MessageNotFound, RateLimited, ThreadNotFound, TurnNotFound
from models import Feedback, message_id, new_id, utcnow
from stores.limits import StoreLimits
from tests.fakes.cosmos import FakeCosmos
from tests.support.stores import ANN, CosmosBackend, begin, messages, talk

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="the replicas of a real account lag as they like")


@pytest.fixture
async def other(backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos) -> AsyncIterator[CosmosStore]:
    """Another instance, whose reads see the account as it is now until they are told of something newer."""
    async with backend.new() as other:
        fake.container("messages").lag()
        fake.container("threads").lag()
        yield other


async def test_a_thread_is_found(store: CosmosStore, other: CosmosStore) -> None:
    thread = await store.create_thread(ANN, title="Sums", metadata={})
    assert await other.get_thread(ANN, thread.id) == thread


async def test_a_session_thread_is_found_where_no_further_one_is_allowed(backend: CosmosBackend, fake: FakeCosmos) -> None:
    limits = StoreLimits(threads=1)
    async with backend.new(limits) as store, backend.new(limits) as other:
        fake.container("messages").lag()
        thread = await store.open_session_thread(ANN, "mine")
        assert await other.open_session_thread(ANN, "mine") == thread
        with pytest.raises(RateLimited):
            await other.open_session_thread(ANN, "another")


async def test_messages_are_found(store: CosmosStore, other: CosmosStore) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    reply = await talk(store, thread.id)
    assert (await messages(other, thread.id))[-1] == reply


async def test_a_turn_is_found_at_its_location(store: CosmosStore, other: CosmosStore, fake: FakeCosmos) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    fake.container("messages").lag()
    turn = await begin(store, thread.id)
    assert (await other.get_progress(ANN, thread.id, turn.turn_id, after=0)).turn.status == "running"
    await other.request_cancel(ANN, thread.id, turn.turn_id)


async def test_the_turns_of_a_thread_are_found(store: CosmosStore, other: CosmosStore) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    assert await other.list_turns(ANN, thread.id, limit=9, after=None) == []
    another = await store.create_thread(ANN, title=None, metadata={})
    reply = await talk(store, another.id)
    assert [turn.id for turn in await other.list_turns(ANN, another.id, limit=9, after=None)] == [reply.turn_id]


async def test_an_answer_can_be_rated(store: CosmosStore, other: CosmosStore) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    reply = await talk(store, thread.id)
    rated = await other.set_feedback(ANN, thread.id, reply.id, Feedback(rating="up", comment=None, timestamp=utcnow()))
    assert rated.feedback is not None


async def test_an_erasure_is_found_while_it_runs_and_afterwards(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos
) -> None:
    started = await store.begin_erasure(ANN)
    assert await other.get_erasure(ANN, started.id) == started
    fake.container("threads").lag()
    assert await store.complete_erasure(ANN, started.id)
    assert (await other.get_erasure(ANN, started.id)).id == started.id


async def test_what_is_nowhere_is_not_found_and_costs_one_refused_write(store: CosmosStore, fake: FakeCosmos) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    nothing = new_id("thread")
    start = len(fake.log)
    with pytest.raises(ThreadNotFound):
        await store.get_progress(ANN, nothing, new_id("turn"), after=None)
    assert [(each.kind, each.status) for each in fake.requests(start)].count(("patch", 404)) == 1
    with pytest.raises(ThreadNotFound):
        await store.list_messages(ANN, nothing, limit=1, after=None, before=None, order="asc")
    with pytest.raises(TurnNotFound):
        await store.get_progress(ANN, thread.id, new_id("turn"), after=None)
    with pytest.raises(MessageNotFound):
        await store.set_feedback(ANN, thread.id, message_id(thread.id, 7), None)
    with pytest.raises(ErasureNotFound):
        await store.get_erasure(ANN, new_id("erasure"))
    assert sum(each.kind == "patch" and each.status < 300 for each in fake.requests(start)) == 0
