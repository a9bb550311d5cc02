"""Health before there is an app: what is answered at once, and what waits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest

from api.app import create_app
from api.health import EarlyHealth, OpenApp
from settings import Settings
from tests.support.local import ROOT
from tests.support.server import serve

# What differs between any two answers.
OF_THIS_ANSWER = {"date", "x-request-id"}
Load = Callable[[], AbstractAsyncContextManager[OpenApp]]


class HeldBack:
    """Loads the real app once it may."""

    def __init__(self, settings: Settings) -> None:
        self.may_load = threading.Event()
        self.fails = False
        self._settings = settings

    def load(self) -> AbstractAsyncContextManager[OpenApp]:
        self.may_load.wait(30)
        if self.fails:
            raise OSError("a secret")
        return self._opening()

    @asynccontextmanager
    async def _opening(self) -> AsyncIterator[OpenApp]:
        app = create_app(self._settings)
        async with app.router.lifespan_context(app) as state:
            yield app, state or {}


@pytest.fixture
def held_back(settings: Settings) -> HeldBack:
    return HeldBack(settings)


@pytest.fixture
async def app(held_back: HeldBack) -> EarlyHealth:
    return EarlyHealth(held_back.load)


@pytest.fixture
async def client(app: EarlyHealth, held_back: HeldBack) -> AsyncIterator[httpx2.AsyncClient]:
    async with serve(app) as url, httpx2.AsyncClient(base_url=url, timeout=30) as client:
        yield client
        held_back.may_load.set()


async def test_health_is_answered_as_the_app_does_and_all_else_waits_for_it(
    app: EarlyHealth, client: httpx2.AsyncClient, held_back: HeldBack
) -> None:
    others = [
        asyncio.create_task(client.get("/api/info")),
        asyncio.create_task(client.get("/api/health", headers={"origin": "https://page.example"})),
        asyncio.create_task(client.post("/api/health")),
    ]
    early = await client.get("/api/health", headers={"x-request-id": "mine"})
    assert not any(other.done() for other in others)
    held_back.may_load.set()
    assert [answer.status_code for answer in await asyncio.gather(*others)] == [200, 200, 405]
    assert (await app.services()).store is not None
    late = await client.get("/api/health")
    assert (early.status_code, early.content) == (late.status_code, late.content)
    kept = [{name: answer.headers[name] for name in answer.headers if name not in OF_THIS_ANSWER} for answer in (early, late)]
    assert kept[0] == kept[1]
    assert early.headers["x-request-id"] == "mine"


async def test_who_waits_for_an_app_that_cannot_be_opened_is_told(
    app: EarlyHealth, client: httpx2.AsyncClient, held_back: HeldBack, caplog: pytest.LogCaptureFixture
) -> None:
    held_back.fails = True
    waiting = asyncio.create_task(client.get("/api/info"))
    assert (await client.get("/api/health")).status_code == 200
    held_back.may_load.set()
    answer = await waiting
    assert (answer.status_code, answer.json()["type"]) == (503, "not_ready")
    assert "secret" not in answer.text
    assert "failed to start app" in caplog.text
    with pytest.raises(OSError, match="secret"):
        await app.services()


def test_what_answers_health_imports_no_framework() -> None:
    heavy = {"fastapi", "agent_framework", "aiohttp", "azure", "sqlite3", "tools", "api.app", "services.services"}
    program = f"import sys, local; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
