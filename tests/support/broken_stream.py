"""An answer whose stream breaks on its way to the client, and goes on once that has come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from settings import Settings
from tests.fakes.model import FakeModel, Reply
from tests.fakes.relay import Relay
from tests.support.server import serve_api

WORDS = " ".join(f"word{number}" for number in range(120))
PIECES_BEFORE_THE_BREAK = 60


@asynccontextmanager
async def breaking_network(data_dir: Path, *cuts: int, **settings: Any) -> AsyncIterator[tuple[httpx2.AsyncClient, Relay]]:
    """Serve an API that answers with ``WORDS``; yield a client of it, and the network, which breaks after so many bytes.

    The model stops half-way until the last cut: no client sees the whole answer before.
    """
    broken = asyncio.Event()
    pieces = 0

    async def wait() -> None:
        nonlocal pieces
        pieces += 1
        if pieces > PIECES_BEFORE_THE_BREAK:
            await broken.wait()

    async with FakeModel(Reply(text=WORDS, wait_for_piece=wait)) as model:
        configured = Settings(data_dir=data_dir, openai_base_url=f"{model.url}/v1", openai_model="m", **settings)
        async with serve_api(configured) as api, Relay(str(api.base_url), broken, *cuts) as network:
            yield api, network
