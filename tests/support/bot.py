"""The bot from outside: activities are posted to the API, and what comes back is read from the channel and from the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

import teams.connector
from identity.authenticator import LOCAL_OWNER
from models import Owner, utcnow
from services.intervals import Intervals
from settings import Settings
from stores.sqlite.store import SqliteStore
from tests.fakes.connector import FakeConnector
from tests.support.server import serve_api


def give_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bots that have an id have a token, which Entra ID would give them."""

    @asynccontextmanager
    async def open_token_source(_: Settings) -> AsyncIterator[Any]:
        async def token() -> str:
            return "ours"

        yield token

    monkeypatch.setattr(teams.connector, "open_token_source", open_token_source)


@asynccontextmanager
async def serve_bot(settings: Settings, channel: FakeConnector) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve the API with a bot that goes by the channel's clock, and yield a client of it."""
    async with serve_api(settings, Intervals(bot_clock=channel.clock)) as client:
        yield client


async def post(api: httpx2.AsyncClient, activity: dict[str, Any]) -> None:
    answer = await api.post("/api/messages", json=activity)
    assert (answer.status_code, answer.content) == (202, b"")


async def ask(api: httpx2.AsyncClient, channel: FakeConnector, activity: dict[str, Any]) -> str:
    """Post a message and return the text that comes back."""
    before = len(channel.shown)
    await post(api, activity)
    await channel.until(lambda: len(channel.shown) > before)
    return channel.texts[-1]


async def threads(api: httpx2.AsyncClient) -> list[dict[str, Any]]:
    listed = (await api.get("/api/threads")).json()["threads"]
    assert isinstance(listed, list)
    return listed


async def messages(api: httpx2.AsyncClient, thread_id: str) -> list[dict[str, Any]]:
    found = (await api.get(f"/api/threads/{thread_id}/messages")).json()["messages"]
    assert isinstance(found, list)
    return found


async def settled(channel: FakeConnector, api: httpx2.AsyncClient) -> None:
    """Wait until nothing is worked on any more: what was to be sent has been sent."""
    for _ in range(200):
        tasks = [task for task in asyncio.all_tasks() if "_spawn" in repr(task.get_coro())]
        if not tasks:
            return
        await asyncio.wait(tasks)


async def asked(settings: Settings, owner: Owner = LOCAL_OWNER) -> list[str]:
    """Return what the owner's messages are, in their order."""
    asked = []
    async with SqliteStore(settings.data_dir / "chat.db") as store:
        for thread in await store.idle_threads(since=utcnow(), limit=10):
            stored = await store.list_messages(thread.owner, thread.id, limit=100, after=None, before=None, order="asc")
            assert thread.owner == owner
            asked += [each.content for each in stored.items if each.role == "user"]
    return asked
