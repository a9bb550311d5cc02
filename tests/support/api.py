"""The API on a model, and what tests ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from services.intervals import Intervals
from settings import Settings
from tests.fakes.model import FakeModel
from tests.support.server import serve_api

ASYNC = {"Prefer": "respond-async"}
QUESTION = {"content": "What is a 15% tip on $85?"}


@asynccontextmanager
async def api_with(
    model: FakeModel,
    path: Path,
    intervals: Intervals = Intervals(),  # noqa: B008 - immutable
) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """Serve the API on a model; yield a client and the messages' address of a thread."""
    settings = Settings(data_dir=path, openai_base_url=f"{model.url}/v1", openai_model="gpt-x")
    async with serve_api(settings, intervals) as api:
        thread = (await api.post("/api/threads", json={})).json()
        yield api, f"/api/threads/{thread['id']}/messages"


async def in_background(api: httpx2.AsyncClient, path: str, **headers: str) -> str:
    """Start a turn and return its address."""
    response = await api.post(path, json=QUESTION, headers={**ASYNC, **headers})
    assert response.status_code == 202
    return response.headers["location"]
