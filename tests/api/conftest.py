"""The API as its callers see it: a real server on a real socket, with the embedded store and the offline model."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from settings import Settings
from tests.support.server import serve_api


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    async with serve_api(settings) as client:
        yield client


@pytest.fixture
async def thread_id(api: httpx2.AsyncClient) -> str:
    response = await api.post("/api/threads", json={"title": "Trip"})
    return str(response.json()["id"])
