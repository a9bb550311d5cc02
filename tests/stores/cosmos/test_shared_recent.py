"""Recent messages on a real Redis, shared by all instances: when they spare the store, and when they must not be believed."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cosmos_store import CosmosStore
from models import Message, Owner, Thread, utcnow
from stores.cosmos.recent import Window
from stores.cosmos.shared_recent import PREFIX, SharedRecent
from tests.fakes.cosmos import FakeCosmos
from tests.fakes.redis import RedisServer, needs_redis
from tests.support.stores import ANN, CosmosBackend, ask, begin, end, messages, talk

pytestmark = [
    needs_redis,
    pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account shows no log of its requests"),
]
CONVERSATION = Owner("bot:acme", "group")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as redis:
        yield redis


@pytest.fixture
def backend(backend: CosmosBackend, redis: Redis) -> CosmosBackend:
    backend.cache_bytes = 1_000_000
    backend.redis = redis
    return backend


@pytest.fixture
async def thread(store: CosmosStore) -> Thread:
    """A thread in which another instance has answered, which has shared what was said."""
    thread = await store.create_thread(ANN, title=None, metadata={})
    await talk_and_share(store, thread)
    return thread


async def talk_and_share(store: CosmosStore, thread: Thread, content: str = "First", owner: Owner = ANN) -> None:
    await talk(store, thread.id, content, owner=owner)
    await store._shared.aclose()


async def shared_text(redis: Redis, thread: Thread) -> bytes:
    """Return what Redis has of a thread."""
    found = await redis.get(PREFIX + thread.id)
    assert isinstance(found, bytes)
    return found


async def begun(store: CosmosStore, fake: FakeCosmos, thread: Thread, owner: Owner = ANN) -> tuple[list[Message], list[str]]:
    """Begin a turn, whose history must be what is stored; return it, and the requests that it took."""
    stored = await messages(store, thread.id, owner)
    start = len(fake.log)
    turn = await begin(store, thread.id, owner=owner)
    requests = sorted(str(each.kind) for each in fake.requests(start) if each.container == "messages")
    assert list(turn.history) == stored
    await end(store, turn)
    await store._shared.aclose()
    return stored, requests


async def test_a_turn_on_another_instance_knows_what_was_said(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    for instance in (other, store, other, other, store):
        _, requests = await begun(instance, fake, thread)
        assert requests == ["patch"]


async def test_an_instance_without_redis_leaves_what_the_others_do_not_believe(
    backend: CosmosBackend, store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    backend.redis = None
    async with backend.new() as alone:
        await talk(alone, thread.id, "Alone")
    for instance in (other, store):
        history, requests = await begun(instance, fake, thread)
        assert "Alone" in [each.content for each in history]
        assert requests == (["patch", "query"] if instance is other else ["patch"])


@pytest.mark.parametrize("what", ["down", "empty", "broken", "hangs"])
async def test_without_what_redis_has_the_store_is_read(
    backend: CosmosBackend, server: RedisServer, redis: Redis, fake: FakeCosmos, thread: Thread, what: str
) -> None:
    if what == "down":
        await server.stop()
    elif what == "empty":
        await redis.flushall()
    elif what == "broken":
        await redis.set(PREFIX + thread.id, '{"owner_hash": 1}')
    else:
        await redis.client_pause(100_000)
    async with backend.new() as instance:
        history, requests = await begun(instance, fake, thread)
    assert (len(history), requests) == (2, ["patch", "query"])


async def test_redis_that_comes_back_is_used_again(server: RedisServer, redis: Redis, fake: FakeCosmos) -> None:
    shared = SharedRecent(redis, cooldown_seconds=0)
    await server.stop()
    assert await shared.get("thread_1") is None
    await server.start()
    assert await shared.get("thread_1") is None
    await shared.forget("thread_1")


async def test_another_owners_or_a_deleted_threads_messages_are_not_there(
    store: CosmosStore, other: CosmosStore, redis: Redis, fake: FakeCosmos
) -> None:
    thread = await store.open_session_thread(ANN, "s")
    await talk_and_share(store, thread, "Old")
    old = await shared_text(redis, thread)
    await other.delete_thread(ANN, thread.id)
    assert await redis.keys() == []
    await other.open_session_thread(ANN, "s")
    # Shared so late that the thread has gone meanwhile.
    await redis.set(PREFIX + thread.id, old)
    history, requests = await begun(other, fake, thread)
    assert (history, requests) == ([], ["patch", "query"])


async def test_what_was_erased_is_neither_there_nor_believed(
    store: CosmosStore, other: CosmosStore, redis: Redis, fake: FakeCosmos
) -> None:
    thread = await store.create_thread(CONVERSATION, title=None, metadata={})
    new = ask("Mine")
    new.metadata["author_id"] = "bob"
    await end(store, await begin(store, thread.id, new, owner=CONVERSATION))
    await talk_and_share(store, thread, owner=CONVERSATION)
    before = await shared_text(redis, thread)
    assert b"Mine" in before
    await other.erase_exchanges(CONVERSATION, thread.id, "bob")
    assert await redis.keys() == []
    await redis.set(PREFIX + thread.id, before)
    history, _ = await begun(other, fake, thread, CONVERSATION)
    assert len([each for each in history if each.is_erased]) == 2


async def test_what_is_deleted_while_it_is_being_shared_is_not_there(redis: Redis) -> None:
    shared = SharedRecent(redis)
    shared.put_later("thread_1", Window("owner", utcnow(), 5, 0, 41, time.time(), (), 0))
    await shared.forget("thread_1")
    await shared.aclose()
    assert await redis.keys() == []


async def test_what_is_shared_expires(redis: Redis, thread: Thread) -> None:
    assert 500 < await redis.ttl(PREFIX + thread.id) <= 600
