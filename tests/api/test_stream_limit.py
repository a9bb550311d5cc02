"""Audit M5: how many streams of an owner may be open at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic_core import to_json

from api import turn_response
from api.app import create_app
from api.deps import services_of
from api.functions_bridge import begin_response
from models import Owner
from services.intervals import Intervals
from settings import Settings
from tests.fakes.model import FakeModel, Reply
from tests.support.api import QUESTION, in_background
from tests.support.events import NDJSON, SSE, all_events
from tests.support.server import serve_api
from tests.support.steps import Steps
from tests.support.turns import FAST

LOCAL = Owner("local", "local")
ASK = {"user_input": "hi"}


def settings_of(model: FakeModel, tmp_path: Path, limit: int = 1) -> Settings:
    return Settings(data_dir=tmp_path, openai_base_url=f"{model.url}/v1", openai_model="gpt-x", limit_streams_at_once=limit)


@asynccontextmanager
async def limited(tmp_path: Path, steps: Steps | None = None, limit: int = 1) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """Serve the API with a limit; yield a client and the messages' address of a thread."""
    async with (
        FakeModel(Reply(text="one two", wait_for_piece=steps)) as model,
        serve_api(settings_of(model, tmp_path, limit), Intervals(FAST)) as api,
    ):
        yield api, await new_thread(api)


async def new_thread(api: httpx2.AsyncClient) -> str:
    return f"/api/threads/{(await api.post('/api/threads', json={})).json()['id']}/messages"


async def streams(api: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get("/api/usage")).json()["owner"]["streams_now"]
    return found


async def all_given_back(api: httpx2.AsyncClient, limit: int = 1) -> None:
    """Wait until no stream has a place."""
    while await streams(api) != {"used": 0, "limit": limit}:
        pass


def is_refused(response: httpx2.Response) -> bool:
    return (response.status_code, response.json()["type"], response.headers["retry-after"]) == (429, "rate_limited", "1")


async def test_streams_at_once_are_limited_of_every_kind(tmp_path: Path) -> None:
    steps = Steps()
    async with limited(tmp_path, steps) as (api, path), AsyncExitStack() as stack:
        turn = await in_background(api, path)
        response = await stack.enter_async_context(api.stream("GET", f"{turn}/events", headers=SSE))
        assert response.status_code == 200
        assert await streams(api) == {"used": 1, "limit": 1}
        other = await new_thread(api)
        for refused in (
            await api.get(f"{turn}/events", headers=NDJSON),
            await api.post(other, json=QUESTION, headers=SSE),
            await api.post(other, json=QUESTION, headers=NDJSON),
            await api.post("/api/stream", json=ASK),
        ):
            assert is_refused(refused)
        steps.step(99)
        # No streams: JSON, and turns in the background.
        assert (await api.post(other, json=QUESTION)).status_code == 200
        await in_background(api, other)
        assert [line async for line in response.aiter_lines()]
        await all_given_back(api)
        assert [event["type"] for event in await all_events(api, f"{turn}/events")][-1] == "message.completed"


async def test_a_refused_stream_starts_no_turn_and_makes_no_thread(tmp_path: Path) -> None:
    steps = Steps()
    async with limited(tmp_path, steps) as (api, path), api.stream("POST", path, json=QUESTION, headers=SSE):
        other = await new_thread(api)
        threads = (await api.get("/api/threads")).json()
        assert is_refused(await api.post(other, json=QUESTION, headers=SSE))
        assert is_refused(await api.post("/api/stream", json=ASK))
        assert is_refused(await api.post("/api/stream", json={**ASK, "thread_id": "my session"}))
        assert (await api.get(other)).json()["messages"] == []
        assert (await api.get("/api/threads")).json() == threads
        steps.step(99)


@pytest.mark.parametrize("kind", ["message", "stream", "follow"])
async def test_a_client_that_leaves_gives_its_place_back(tmp_path: Path, kind: str) -> None:
    steps = Steps()
    async with limited(tmp_path, steps) as (api, path):
        turn = await in_background(api, path) if kind == "follow" else ""
        method, url, body = {
            "message": ("POST", path, QUESTION),
            "stream": ("POST", "/api/stream", ASK),
            "follow": ("GET", f"{turn}/events", None),
        }[kind]
        async with (
            httpx2.AsyncClient(base_url=api.base_url, timeout=30) as leaving,
            leaving.stream(method, url, json=body, headers=SSE),
        ):
            assert (await streams(api))["used"] == 1
        await all_given_back(api)
        steps.step(99)


async def test_a_reader_that_takes_nothing_gives_its_place_back(tmp_path: Path) -> None:
    async with (
        FakeModel(Reply(text=" ".join(["x" * 50_000] * 200))) as model,
        serve_api(settings_of(model, tmp_path), Intervals(FAST, send=0.05)) as api,
        api.stream("POST", await new_thread(api), json=QUESTION, headers=SSE),
    ):
        await all_given_back(api)


async def test_streams_that_are_answered_otherwise_give_their_place_back(tmp_path: Path) -> None:
    async with limited(tmp_path) as (api, path):
        turn = await in_background(api, path)
        ended = (await all_events(api, f"{turn}/events"))[-1]["id"]
        assert (await api.get(f"{turn}/events?after={ended}")).status_code == 204
        assert (await api.get("/api/threads/thread_x/turns/turn_x/events")).status_code == 404
        assert (await api.post("/api/threads/thread_x/messages", json=QUESTION, headers=SSE)).status_code == 404
        assert (await api.post(path, json={}, headers=SSE)).status_code == 422
        await all_given_back(api)


async def test_a_handler_that_fails_before_the_first_byte_gives_the_place_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unexpected")

    async with limited(tmp_path) as (api, path):
        monkeypatch.setattr(turn_response, "events_response", fail)
        assert (await api.post(path, json=QUESTION, headers=SSE)).status_code == 500
        await all_given_back(api)


async def test_an_answer_that_breaks_off_gives_the_place_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_off(*_: object) -> AsyncIterator[bytes]:
        yield b": begun\n\n"
        raise RuntimeError("unexpected")

    async with limited(tmp_path) as (api, path):
        monkeypatch.setattr("api.streaming._encoded", break_off)
        with pytest.raises(httpx2.RemoteProtocolError):
            await api.post(path, json=QUESTION, headers=SSE)
        await all_given_back(api)


async def test_streams_are_not_limited_by_default(tmp_path: Path) -> None:
    steps = Steps()
    async with limited(tmp_path, steps, limit=0) as (api, path), AsyncExitStack() as stack:
        turn = await in_background(api, path)
        for _ in range(10):
            await stack.enter_async_context(api.stream("GET", f"{turn}/events", headers=SSE))
        assert await streams(api) == {"used": 10, "limit": None}
        steps.step(99)


async def test_many_at_once_get_as_many_places_as_there_are(tmp_path: Path) -> None:
    steps = Steps()
    async with limited(tmp_path, steps, limit=3) as (api, path):
        turn = await in_background(api, path)
        asking = [asyncio.create_task(api.get(f"{turn}/events", headers=SSE)) for _ in range(10)]
        done: set[asyncio.Task[httpx2.Response]] = set()
        while len(done) < 7:
            done, _ = await asyncio.wait(asking, return_when="FIRST_COMPLETED")
        steps.step(99)
        assert sorted(each.status_code for each in await asyncio.gather(*asking)) == [200] * 3 + [429] * 7
        await all_given_back(api, limit=3)


async def test_an_answer_that_the_functions_worker_cannot_send_gives_the_place_back(tmp_path: Path) -> None:
    body = [{"type": "http.request", "body": to_json(ASK), "more_body": False}]

    async def receive() -> Any:
        return body.pop() if body else await asyncio.get_running_loop().create_future()

    async def reset(_: object) -> None:
        raise ConnectionResetError

    steps = Steps()
    async with FakeModel(Reply(text="one two", wait_for_piece=steps)) as model:
        app = create_app(settings_of(model, tmp_path))
        async with app.router.lifespan_context(app) as state:
            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": "/api/stream",
                "raw_path": b"/api/stream",
                "root_path": "",
                "query_string": b"",
                "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 80),
                "state": dict(state or {}),
            }
            quotas = services_of(state or {}).quotas
            response = await begin_response(app, scope, receive)
            assert (await quotas.usage(LOCAL))[0].streams_now == 1
            with pytest.raises(ConnectionResetError):
                await response(scope, receive, reset)
            assert (await quotas.usage(LOCAL))[0].streams_now == 0
            steps.step(99)
