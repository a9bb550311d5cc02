"""A caller of the API whose calculator asks before it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from settings import Settings
from tests.fakes.model import FakeModel, Reply
from tests.support.api import QUESTION
from tests.support.events import SSE, sse_events
from tests.support.server import serve_api

YES = {"approvals": [{"call_id": "call_1", "approved": True}]}


class Client:
    """A caller with a thread whose calculator asks first."""

    def __init__(self, api: httpx2.AsyncClient, thread: str) -> None:
        self.api = api
        self.thread = thread

    async def ask(self, **body: Any) -> dict[str, Any]:
        response = await self.api.post(f"{self.thread}/messages", json={**QUESTION, **body})
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    async def go_on(self, turn_id: str, decisions: Any = YES, **headers: str) -> httpx2.Response:
        return await self.api.post(f"{self.thread}/turns/{turn_id}/continue", json=decisions, headers=headers)

    async def events(self, path: str, body: Any, **headers: str) -> list[dict[str, Any]]:
        async with self.api.stream("POST", f"{self.thread}{path}", json=body, headers={**SSE, **headers}) as response:
            return [event async for event in sse_events(response)]

    async def get(self, path: str = "") -> Any:
        return (await self.api.get(f"{self.thread}{path}")).json()

    async def history(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get("/messages"))["messages"]
        return found


@asynccontextmanager
async def asking(path: Path, *replies: Reply, **settings: Any) -> AsyncIterator[tuple[Client, FakeModel]]:
    async with FakeModel(*replies) as model:
        configured = Settings(
            data_dir=path,
            openai_base_url=f"{model.url}/v1",
            openai_model="gpt-x",
            **{"approval_tools": ("calculate",), **settings},
        )
        async with serve_api(configured) as api:
            thread = (await api.post("/api/threads", json={})).json()
            yield Client(api, f"/api/threads/{thread['id']}"), model
