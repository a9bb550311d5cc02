"""The Cosmos DB store on the fake account, for tests of what only this store has; and the faults that are tried everywhere."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cosmos_store import CosmosStore
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.support.stores import DATABASE, CosmosBackend

FAULTS: dict[str, dict[str, Any]] = {
    "dropped before": {"drop": "before"},
    "dropped after": {"drop": "after"},
    "408": {"status": 408},
    "429": {"status": 429, "headers": {"x-ms-retry-after-ms": "1"}},
    "449": {"status": 449},
    "503": {"status": 503, "times": 2},  # the SDK itself sends again after the first
    "session": {"status": 404, "headers": {"x-ms-substatus": "1002"}},
    "429 in a batch": {"status": 429, "in_batch": True},
    "449 in a batch": {"status": 449, "in_batch": True},
}
needs_faults = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account has no faults to order")


@pytest.fixture
async def fake() -> AsyncIterator[FakeCosmos]:
    async with FakeCosmos() as fake:
        yield fake


@pytest.fixture
def backend(fake: FakeCosmos) -> CosmosBackend:
    return CosmosBackend(fake.endpoint, KEY, DATABASE, fake)


@pytest.fixture
async def store(backend: CosmosBackend) -> AsyncIterator[CosmosStore]:
    async with backend.new() as store:
        yield store


@pytest.fixture
async def other(backend: CosmosBackend) -> AsyncIterator[CosmosStore]:
    """Another instance."""
    async with backend.new() as store:
        yield store
