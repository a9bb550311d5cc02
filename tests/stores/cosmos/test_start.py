"""How the Cosmos DB store starts: its containers, its credentials, and an account that does not answer."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from cosmos_store import CosmosStore
from errors import StoreMisconfigured, StoreUnavailable
from identity.azure_credential import AzureCredential
from models import Thread
from stores.cosmos.connection import connect
from stores.cosmos.definitions import CONTAINERS
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_identity import FakeIdentity, self_signed
from tests.fakes.cosmos_requests import Kind
from tests.stores.cosmos.conftest import needs_faults
from tests.support.stores import ANN, DATABASE, QUICK, CosmosBackend, talk

pytestmark = needs_faults


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
        await connect(fake.endpoint, database=DATABASE, credential=KEY, retries=QUICK, start_seconds=0.05).__aenter__()
