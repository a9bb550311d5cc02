"""One's own tools from outside: the API with them alone, and a call of one of them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from settings import Settings
from tests.support.assistant_folder import FOLDER, HARBOUR
from tests.support.server import serve_api


class Call(Protocol):
    """Calls a tool through the offline model and returns the call as the API tells it: its ``result`` or its ``error``."""

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]: ...


@asynccontextmanager
async def serve_tools(path: Path, *modules: str) -> AsyncIterator[Call]:
    """Serve the API with the tools of these modules of ``tools/`` and no others, with its data below ``path``."""
    folder = await asyncio.to_thread(assistant_with, path, *modules)
    async with serve_api(Settings(data_dir=path, assistant_dir=folder)) as api:

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            answer = await api.post("/api/invoke", json={"user_input": f"call {tool} {json.dumps(arguments)}"})
            [made] = answer.raise_for_status().json()["tool_calls"]
            assert isinstance(made, dict)
            return made

        yield call


def assistant_with(path: Path, *modules: str) -> Path:
    """Return a folder of the tests' assistant with the tools of these modules alone."""
    folder = shutil.copytree(FOLDER, path / "assistant")
    file = folder / "assistant.toml"
    file.write_text(file.read_text().replace(f"tools = {json.dumps(HARBOUR.tools)}", f"tools = {json.dumps(modules)}"))
    return folder
