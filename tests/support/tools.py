"""One's own tools from outside: the API with them alone, and a call of one of them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from settings import Settings
from tests.support.assistant_folder import FOLDER, HARBOUR
from tests.support.server import serve_api


class Caller:
    """Calls tools through the offline model."""

    def __init__(self, api: httpx2.AsyncClient) -> None:
        self._api = api
        self._answer: dict[str, Any] = {}

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return the call as the API tells it: its ``result`` or its ``error``, or that it is open."""
        answer = await self._api.post("/api/invoke", json={"user_input": f"call {tool} {json.dumps(arguments)}"})
        self._answer = answer.raise_for_status().json()
        [made] = self._answer["tool_calls"]
        assert isinstance(made, dict)
        return made

    async def decide(self, *, approved: bool, reason: str | None = None) -> dict[str, Any]:
        """Decide about the last call, which is open, and return it as the history tells it afterwards."""
        thread = f"/api/threads/{self._answer['thread_id']}"
        [open_call] = self._answer["open_calls"]
        decision = {"call_id": open_call["id"], "approved": approved, "reason": reason}
        path = f"{thread}/turns/{self._answer['turn_id']}/continue"
        (await self._api.post(path, json={"approvals": [decision]})).raise_for_status()
        messages = (await self._api.get(f"{thread}/messages")).json()["messages"]
        [made] = next(message for message in messages if message["id"] == self._answer["message_id"])["tool_calls"]
        assert isinstance(made, dict)
        return made


@asynccontextmanager
async def serve_tools(path: Path, *modules: str) -> AsyncIterator[Caller]:
    """Serve the API with the tools of these modules of ``tools/`` and no others, with its data below ``path``."""
    folder = await asyncio.to_thread(assistant_with, path, *modules)
    async with serve_api(Settings(data_dir=path, assistant_dir=folder)) as api:
        yield Caller(api)


def assistant_with(path: Path, *modules: str) -> Path:
    """Return a folder of the tests' assistant with the tools of these modules alone."""
    folder = shutil.copytree(FOLDER, path / "assistant")
    file = folder / "assistant.toml"
    file.write_text(file.read_text().replace(f"tools = {json.dumps(HARBOUR.tools)}", f"tools = {json.dumps(modules)}"))
    return folder
