"""The thread stores as fixtures: what takes ``store`` or ``backend`` runs on each of them; and the option ``--long``."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stores.contract import ThreadStore
from tests.support.assistant_folder import FOLDER
from tests.support.collected import Collected, collecting
from tests.support.positions import SHORT_STEP, Positions
from tests.support.stores import Backend, SqliteBackend, cosmos_backend

# Before anything reads the settings: all processes that tests start are about the tests' assistant, too.
os.environ["ASSISTANT_DIR"] = str(FOLDER)
CACHE_BYTES = 1_000_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="faults at every position, and more turns: what runs every night")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long form of the tests runs."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def positions(long: bool) -> Positions:
    """Where a test that tries a fault at every position puts it."""
    return Positions(1 if long else SHORT_STEP)


@pytest.fixture(params=["sqlite", "cosmos", "cosmos, cached"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    if request.param == "sqlite":
        yield SqliteBackend(tmp_path / "chat.db")
        return
    if request.node.get_closest_marker("server_clock") and "COSMOS_TEST_ENDPOINT" in os.environ:
        pytest.skip("a real account goes by its own clock")
    async with cosmos_backend() as cosmos:
        cosmos.cache_bytes = CACHE_BYTES if request.param == "cosmos, cached" else 0
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
