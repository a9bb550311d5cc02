"""Function apps inside the real Functions runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import httpx2
import pytest

from observability import safe_logging
from tests.fakes.functions_host import FunctionsHost, start_host
from tests.fakes.functions_process import Start

HERE = Path(__file__).parent


@pytest.fixture(params=get_args(Start))
def start(request: pytest.FixtureRequest) -> Start:
    """Each way in which a worker may be started."""
    found: Start = request.param
    return found


@pytest.fixture
async def starting() -> AsyncIterator[FunctionsHost]:
    """The sample app in the runtime, held back in its start."""
    safe_logging.install()
    async with start_host(HERE, "sample_app.py") as host:
        yield host
        host.module.probe.may_start.set()


@pytest.fixture
async def starting_client(starting: FunctionsHost) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the sample app that is held back in its start."""
    async with httpx2.AsyncClient(transport=starting, base_url="http://localhost", timeout=20) as client:
        yield client


@pytest.fixture
def sample(starting: FunctionsHost) -> FunctionsHost:
    """The sample app in the runtime."""
    starting.module.probe.may_start.set()
    return starting


@pytest.fixture
def sample_client(sample: FunctionsHost, starting_client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A client of the sample app."""
    return starting_client


@pytest.fixture(autouse=True)
def _without_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_ANONYMOUS_LOCAL", "true")


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: Start) -> AsyncIterator[FunctionsHost]:
    """The real function app in the runtime, with the embedded defaults."""
    for name in ("AZURE_OPENAI_ENDPOINT", "OPENAI_API_KEY", "OPENAI_BASE_URL", "COSMOS_ENDPOINT", "WEBSITE_SITE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    async with start_host(HERE.parent.parent, "function_app.py", start) as host:
        yield host


@pytest.fixture
async def api_client(api: FunctionsHost) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the real function app."""
    async with httpx2.AsyncClient(transport=api, base_url="http://localhost", timeout=20) as client:
        yield client
