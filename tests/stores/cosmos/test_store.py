"""What only the Cosmos DB store has: its requests, the SDK's traps, lagging replicas, the list's rows, and its start."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from azure.cosmos.aio._query_iterable_async import QueryIterable

import stores.cosmos.container
from cosmos_store import CosmosStore
from errors import IdempotencyKeyReused, StoreMisconfigured, StoreUnavailable, ThreadNotFound, TurnInProgress
from identity.azure_credential import AzureCredential
from models import Owner, Thread
from stores.cosmos.connection import connect
from stores.cosmos.documents import CONTAINERS
from stores.types import ReplayedTurn
from tests.fakes.cosmos import KEY, FakeCosmos, Kind
from tests.fakes.cosmos_identity import FakeIdentity, self_signed
from tests.stores.cosmos.conftest import FAULTS
from tests.support.positions import Positions, every_position
from tests.support.stores import ANN, DATABASE, CosmosBackend, answer, ask, begin, end, messages, states, talk

ENDED = [(1, "user", "completed"), (2, "assistant", "completed")]


pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account has no faults to order")


@pytest.fixture
async def thread(store: CosmosStore) -> Thread:
    return await store.create_thread(ANN, title="Sums", metadata={})


def row(fake: FakeCosmos) -> dict[str, Any]:
    """Return the only row of the list of threads."""
    (row,) = fake.container("threads").everything()
    return row


# Faults: whatever happens to one request, the turn is there once and whole


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_turn_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, key: str | None, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            thread = await store.create_thread(ANN, title=None, metadata={})
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            turn = await begin(store, thread.id, ask(key=key))
            await store.renew_lease(turn, lease_seconds=60)
            reply = await end(store, turn)
        fake.heal()
        async with backend.new() as store:
            assert (await messages(store, thread.id))[1:] == [reply]
            assert await states(store, thread.id) == ENDED
            assert (await store.get_thread(ANN, thread.id)).message_count == 2
            assert (await store.list_threads(ANN, status=None, limit=1, cursor=None)).items[0].message_count == 2
        positions.tried(failing)
    assert positions.count >= 5


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_takeover_and_a_second_attempt_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    for position in positions:
        async with backend.new() as store:
            thread = await store.create_thread(ANN, title=None, metadata={})
            await begin(store, thread.id, ask(key="k"), lease=-1)
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            turn = await begin(store, thread.id, ask(key="k"))
            assert (turn.is_retry, turn.message.seq, list(turn.history)) == (True, 1, [])
            await end(store, turn)
        fake.heal()
        async with backend.new() as store:
            assert await states(store, thread.id) == ENDED
        positions.tried(failing)
    assert positions.count >= 10


@pytest.mark.parametrize("fault", FAULTS)
async def test_threads_with_one_fault_anywhere(
    backend: CosmosBackend, fake: FakeCosmos, fault: str, positions: Positions
) -> None:
    async with backend.new() as store:
        for position in positions:
            failing = fake.fail(None, skip=position, **FAULTS[fault])
            thread = await store.create_thread(ANN, title="Old", metadata={})
            thread = await store.update_thread(ANN, thread.id, {"title": "New"})
            assert (await store.list_threads(ANN, status=None, limit=10, cursor=None)).items == [thread]
            await store.delete_thread(ANN, thread.id)
            fake.heal()
            assert fake.container("messages").everything() == []
            assert fake.container("threads").everything() == []
            positions.tried(failing)
    assert positions.count >= 10


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_an_outage_is_over_before_the_commit_is_called_again(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, drop: str
) -> None:
    turn = await begin(store, thread.id, ask(key="k"))
    message, reply = turn.message.model_copy(update={"status": "completed"}), answer(turn)
    fake.fail("batch", drop=drop, times=stores.cosmos.container.ATTEMPTS)
    with pytest.raises(StoreUnavailable):
        await store.commit_turn(turn, message=message, reply=reply, final_event_id=9)
    assert await messages(store, thread.id) == ([turn.message] if drop == "before" else [message, reply])
    await store.commit_turn(turn, message=message, reply=reply, final_event_id=9)
    assert await messages(store, thread.id) == [message, reply]


async def test_an_outage_at_begin_accepts_nothing(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    for new in (ask(), ask(key="k")):
        fake.fail(None, status=503, times=1000)
        with pytest.raises(StoreUnavailable):
            await begin(store, thread.id, new)
        fake.heal()
        assert await messages(store, thread.id) == []
    await talk(store, thread.id, key="k")


# The SDK's traps


async def test_reads_see_this_process_own_batches(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    fake.container("messages").lag()
    await talk(store, thread.id)
    assert await states(store, thread.id) == ENDED
    assert (await store.get_thread(ANN, thread.id)).message_count == 2
    assert len((await begin(store, thread.id)).history) == 2


async def test_reads_see_this_process_own_single_writes(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    fake.container("messages").lag()
    fake.container("threads").lag()
    changed = await store.update_thread(ANN, thread.id, {"title": "New"})
    assert await store.get_thread(ANN, thread.id) == changed
    assert (await store.list_threads(ANN, status=None, limit=9, cursor=None)).items == [changed]
    await store.delete_thread(ANN, thread.id)
    assert (await store.list_threads(ANN, status=None, limit=9, cursor=None)).items == []


async def test_history_sees_what_other_processes_committed(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    async with backend.new() as other:
        assert await states(other, thread.id) == []
        fake.container("messages").lag()
        await talk(store, thread.id, "First", key="k")
        assert await states(other, thread.id) == []
        assert [message.content for message in (await begin(other, thread.id)).history] == ["First", "4"]


async def test_a_key_used_by_another_process_is_seen_through_a_lagging_replica(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    async with backend.new() as other:
        fake.container("messages").lag()
        reply = await talk(store, thread.id, key="k")
        replay = await other.begin_turn(ANN, thread.id, ask(key="k"), lease_seconds=30, history_limit=40)
        assert replay == ReplayedTurn(reply)
        with pytest.raises(IdempotencyKeyReused):
            await begin(other, thread.id, ask("Another", key="k"))


async def test_a_turn_that_ends_while_it_is_looked_at_is_found(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    """Its document is not there yet when it is first looked for, so it must be looked for after the thread's lease."""
    turn = await begin(store, thread.id)
    of_the_thread = fake.fail("read", hold=True)
    looking = asyncio.create_task(store.get_progress(ANN, thread.id, turn.turn_id, after=None))
    await of_the_thread.reached.wait()
    await end(store, turn)
    of_the_thread.released.set()
    assert (await looking).turn.status == "completed"


async def test_a_batch_keeps_its_conditions_when_it_is_sent_again(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    turn = await begin(store, thread.id)
    fake.fail("batch", status=429, in_batch=True)
    await end(store, turn)
    first, second = [entry for entry in fake.log if entry.kind == "batch"]
    assert first.body == second.body
    assert turn.turn_id in second.body[-1]["resourceBody"]["condition"]


async def test_a_query_leaves_nothing_to_the_garbage_collector(store: CosmosStore, thread: Thread) -> None:
    """Audit, memory: the SDK's pages refer to themselves, and kept the history of every turn."""
    await talk(store, thread.id)
    gc.collect()
    gc.disable()
    try:
        assert len(await messages(store, thread.id)) == 2
        assert not any(type(each) is QueryIterable for each in gc.get_objects())
    finally:
        gc.enable()


@pytest.mark.parametrize("fault", ["dropped before", "dropped after", "429", "449", "408"])
async def test_the_sdk_sends_nothing_again_behind_our_back(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, fault: str
) -> None:
    fake.fail("patch", times=1000, **FAULTS[fault])
    start = len(fake.log)
    with pytest.raises(StoreUnavailable):
        await store.update_thread(ANN, thread.id, {"title": "New"})
    assert len(fake.requests(start)) == stores.cosmos.container.ATTEMPTS


async def test_a_long_wait_is_passed_on_to_the_caller(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    fake.fail("patch", status=429, headers={"x-ms-retry-after-ms": "60000"})
    start = len(fake.log)
    with pytest.raises(StoreUnavailable) as unavailable:
        await begin(store, thread.id, history=0)
    assert unavailable.value.retry_after == 60
    # The second gives back what the first may have taken.
    assert [each.kind for each in fake.requests(start)] == ["patch", "batch"]


async def test_every_request_has_a_deadline(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores.cosmos.container, "REQUEST_SECONDS", 0.05)
    fake.fail("read", hold=True)
    with pytest.raises(StoreUnavailable) as unavailable:
        await store.get_thread(ANN, thread.id)
    assert isinstance(unavailable.value.__cause__, TimeoutError)


async def test_paging_stays_within_a_partition(store: CosmosStore, fake: FakeCosmos) -> None:
    for owner in (ANN, Owner("acme", "bob")):
        for _ in range(4):
            await store.create_thread(owner, title=None, metadata={})
    start, cursor, seen = len(fake.log), None, 0
    for _ in range(2):
        page = await store.list_threads(ANN, status=None, limit=2, cursor=cursor)
        cursor, seen = page.next_cursor, seen + len(page.items)
    assert (seen, cursor) == (4, None)
    assert [entry.kind for entry in fake.log[start:]] == ["query", "query"]


# Requests


@pytest.mark.parametrize("count", [0, 2, 2000])
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_turn_is_three_requests_two_in_sequence(
    backend: CosmosBackend, fake: FakeCosmos, count: int, key: str | None
) -> None:
    async with backend.new() as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        if count:
            await backend.seed(thread.id, count)
        start = len(fake.log)
        held = [fake.fail(kind, hold=True) for kind in ("batch" if key else "patch", "query")]
        beginning = asyncio.create_task(begin(store, thread.id, ask(key=key)))
        for request in held:
            await request.reached.wait()
        for request in held:
            request.released.set()
        turn = await beginning
        assert len(turn.history) == min(count, 40)
        await end(store, turn)
    turn_requests = [entry for entry in fake.log[start:] if entry.container != "threads"]
    assert sorted(entry.kind for entry in turn_requests) == sorted(["batch" if key else "patch", "query", "batch"])
    assert [entry.kind for entry in fake.log[start:] if entry.container == "threads"] == ["patch"]
    assert sum(entry.charge for entry in fake.requests(start)) < 75


async def test_a_message_list_that_a_commit_overtakes_is_read_again(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    async with backend.new() as other:
        turn = await begin(store, thread.id)
        read, query = fake.fail("read", hold=True), fake.fail("query", hold=True)
        read.released.set()
        listing = asyncio.create_task(states(other, thread.id))
        await asyncio.gather(read.reached.wait(), query.reached.wait())
        await end(store, turn)
        query.released.set()
        assert await listing == ENDED


async def test_a_lease_that_arrives_after_its_turn_has_ended_is_given_back(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    turn = await begin(store, thread.id, ask())
    late = {**fake.container("messages").documents(thread.id)[thread.id]["lease"], "until": 0.0}
    reply = await end(store, turn)
    fake.container("messages").documents(thread.id)[thread.id]["lease"] = late
    await end(store, await begin(store, thread.id, ask()))
    assert await states(store, thread.id) == [*ENDED, (3, "user", "completed"), (4, "assistant", "completed")]
    assert (await store.get_progress(ANN, thread.id, turn.turn_id, after=None)).turn.message == reply


# The list's rows


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


# Deletion


@pytest.mark.parametrize("position", every_position(range(9)))
async def test_a_deletion_stopped_at_any_request_is_completed_by_calling_again(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread, position: int
) -> None:
    await backend.seed(thread.id, 60)
    request = fake.fail(None, hold=True, skip=position)
    deletion = asyncio.create_task(store.delete_thread(ANN, thread.id))
    await request.reached.wait()
    deletion.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deletion
    fake.fail("patch", "messages", hold=True).released.set()
    if position:
        with pytest.raises(ThreadNotFound):
            await store.get_thread(ANN, thread.id)
        with pytest.raises(ThreadNotFound):
            await begin(store, thread.id)
    if position > 1:
        assert (await store.list_threads(ANN, status=None, limit=1, cursor=None)).items == []
    await store.delete_thread(ANN, thread.id)
    assert fake.container("messages").everything() == []
    assert fake.container("threads").everything() == []


# Start


async def test_containers_are_created_as_defined(store: CosmosStore, fake: FakeCosmos) -> None:
    for definition in CONTAINERS:
        created = fake.container(definition.id).definition
        assert created["partitionKey"]["paths"] == [definition.partition_key]
        assert created["indexingPolicy"] == definition.indexing_policy


async def test_many_processes_start_at_the_same_time(backend: CosmosBackend) -> None:
    async def start() -> None:
        async with backend.new():
            pass

    await asyncio.gather(*(start() for _ in range(5)))


async def test_a_managed_identity_works_on_containers_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    identity = FakeIdentity()
    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", lambda: identity)
    async with FakeCosmos(tls=self_signed(tmp_path)) as fake:
        async with CosmosStore(fake.endpoint, database=DATABASE, credential=KEY):
            pass
        async with (
            AzureCredential() as credential,
            CosmosStore(fake.endpoint, database=DATABASE, credential=credential) as store,
        ):
            thread = await store.create_thread(ANN, title=None, metadata={})
            await talk(store, thread.id)
            assert not identity.closed
        assert identity.closed
        del fake.databases[DATABASE]["threads"]
        start = len(fake.log)
        with pytest.raises(StoreMisconfigured):
            await CosmosStore(fake.endpoint, database=DATABASE, credential=AzureCredential()).__aenter__()
        assert f"container {DATABASE}/threads is missing" in caplog.text
        assert {entry.kind for entry in fake.log[start:]} == {"account", "container"}
        assert "threads" not in fake.databases[DATABASE]


async def test_a_container_that_goes_missing_later(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, caplog: pytest.LogCaptureFixture
) -> None:
    del fake.databases[DATABASE]["messages"]
    with pytest.raises(StoreMisconfigured):
        await store.get_thread(ANN, thread.id)
    assert "container messages: missing" in caplog.text


@pytest.mark.parametrize("status", [401, 403])
async def test_access_denied(
    backend: CosmosBackend, store: CosmosStore, fake: FakeCosmos, thread: Thread, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    fake.fail("read", status=status)
    with pytest.raises(StoreMisconfigured):
        await store.get_thread(ANN, thread.id)
    fake.fail("container", status=status)
    with pytest.raises(StoreMisconfigured):
        await backend.new().__aenter__()
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 2


async def test_a_key_that_is_none(fake: FakeCosmos) -> None:
    with pytest.raises(StoreMisconfigured):
        await CosmosStore(fake.endpoint, database=DATABASE, credential="not base64!").__aenter__()


async def test_an_account_that_does_not_answer() -> None:
    async with FakeCosmos() as fake:
        endpoint = fake.endpoint
    with pytest.raises(StoreUnavailable):
        await CosmosStore(endpoint, database=DATABASE, credential=KEY).__aenter__()


@pytest.mark.parametrize("kind", ["account", "database", "container"])
@pytest.mark.parametrize("status", [429, 449])
async def test_a_start_that_is_throttled_is_repeated(backend: CosmosBackend, fake: FakeCosmos, kind: Kind, status: int) -> None:
    """Audit L4."""
    fake.fail(kind, status=status, headers={"x-ms-retry-after-ms": "1"}, times=5)
    async with backend.new() as store:
        await store.ping()


async def test_a_start_that_is_throttled_for_ever_ends(fake: FakeCosmos) -> None:
    """Audit L4."""
    fake.fail("account", status=429, headers={"x-ms-retry-after-ms": "10"}, times=1000)
    with pytest.raises(StoreUnavailable):
        await connect(fake.endpoint, database=DATABASE, credential=KEY, start_seconds=0.05).__aenter__()


async def test_a_turn_in_progress_costs_no_write(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    await begin(store, thread.id, ask(key="k"))
    before = fake.container("messages").lsn
    for new in (ask(), ask(key="k"), ask(key="other")):
        with pytest.raises(TurnInProgress):
            await begin(store, thread.id, new)
    assert fake.container("messages").lsn == before
