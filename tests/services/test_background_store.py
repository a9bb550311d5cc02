"""A store that is still being opened while the process serves: who waits for it, and what becomes of one that cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from errors import StoreUnavailable
from models import Owner
from services.background_store import open_in_background
from settings import Settings
from stores.contract import ThreadStore
from stores.sqlite.store import SqliteStore
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.support.server import serve_api

OWNER = Owner("tenant", "user")
Load = Callable[[], AbstractAsyncContextManager[ThreadStore]]


def opening(folder: Path, may_open: asyncio.Event, *failures: Exception) -> Load:
    """Return what opens a store once it may, after it has failed so often."""
    left = list(failures)

    @asynccontextmanager
    async def open_store() -> AsyncIterator[ThreadStore]:
        await may_open.wait()
        if left:
            raise left.pop(0)
        async with SqliteStore(folder / "chat.db") as store:
            yield store

    return open_store


async def test_calls_wait_for_it_and_are_its_own_then(tmp_path: Path) -> None:
    may_open = asyncio.Event()
    async with open_in_background(opening(tmp_path, may_open)) as store:
        asked = [asyncio.create_task(store.create_thread(OWNER, title=title, metadata={})) for title in ("a", "b")]
        await asyncio.sleep(0)
        assert not any(task.done() for task in asked)
        may_open.set()
        assert [(await task).title for task in asked] == ["a", "b"]
        assert store.create_thread.__self__.__class__ is SqliteStore  # type: ignore[attr-defined]


async def test_one_that_could_not_be_opened_is_tried_again(tmp_path: Path) -> None:
    may_open = asyncio.Event()
    may_open.set()
    async with open_in_background(opening(tmp_path, may_open, StoreUnavailable(), StoreUnavailable())) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.ping()
        await store.ping()


async def test_it_closes_while_it_is_still_being_opened(tmp_path: Path) -> None:
    may_open = asyncio.Event()
    async with open_in_background(opening(tmp_path, may_open)) as store:
        waiting = asyncio.create_task(store.ping())
        await asyncio.sleep(0)
        waiting.cancel()
        may_open.set()
    assert waiting.cancelled()


async def test_there_is_no_method_that_stores_do_not_have(tmp_path: Path) -> None:
    may_open = asyncio.Event()
    may_open.set()
    async with open_in_background(opening(tmp_path, may_open)) as store:
        assert not hasattr(store, "create_tread")


async def test_health_waits_for_no_account_and_a_thread_does(tmp_path: Path) -> None:
    async with FakeCosmos() as fake:
        held = fake.fail("account", hold=True)
        settings = Settings(cosmos_endpoint=fake.endpoint, cosmos_key=KEY, data_dir=tmp_path)
        async with serve_api(settings) as api:
            await held.reached.wait()
            assert (await api.get("/api/health")).status_code == 200
            made = asyncio.create_task(api.post("/api/threads", json={}))
            assert (await api.get("/api/health")).status_code == 200
            assert not made.done()
            held.released.set()
            assert (await made).status_code == 201
