"""The thread stores as fixtures: what takes ``store`` or ``backend`` runs on each of them."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stores.contract import ThreadStore
from tests.support.collected import Collected, collecting
from tests.support.stores import Backend, SqliteBackend, cosmos_backend


@pytest.fixture(params=["sqlite", "cosmos"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    if request.param == "sqlite":
        yield SqliteBackend(tmp_path / "chat.db")
        return
    if request.node.get_closest_marker("server_clock") and "COSMOS_TEST_ENDPOINT" in os.environ:
        pytest.skip("a real account goes by its own clock")
    async with cosmos_backend() as cosmos:
        yield cosmos


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[ThreadStore]:
    async with backend.new() as store:
        yield store


@pytest.fixture
def collected() -> Iterator[Collected]:
    """What a collector would get from this test."""
    with collecting() as collected:
        yield collected
