"""The tokens of a turn count towards the day's limit, however the turn ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from settings import Settings
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.events import SSE, sse_events
from tests.support.server import serve_api

LONG = {"content": "x" * 20_000}
FILTERED = {"message": "no", "type": "invalid_request_error", "code": "content_filter"}


def settings(model: FakeModel, path: Path, **more: Any) -> Settings:
    return Settings(data_dir=path, openai_base_url=f"{model.url}/v1", openai_model="gpt-x", **more)


async def a_thread(api: httpx2.AsyncClient) -> str:
    return f"/api/threads/{(await api.post('/api/threads', json={})).json()['id']}"


async def tokens_today(api: httpx2.AsyncClient) -> int:
    used: int = (await api.get("/api/usage")).json()["owner"]["tokens_today"]["used"]
    return used


async def nothing_runs(api: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(10):
        while (await api.get("/api/usage")).json()["owner"]["turns_now"]["used"]:
            pass


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_turn_that_timed_out_counts_what_was_sent(tmp_path: Path) -> None:
    async with FakeModel(Reply(wait=never)) as model, serve_api(settings(model, tmp_path, turn_timeout_seconds=1)) as api:
        answer = await api.post(f"{await a_thread(api)}/messages", json=LONG)
        assert answer.json()["type"] == "turn_timeout"
        await nothing_runs(api)
        assert await tokens_today(api) > 5000


async def test_a_message_that_the_filter_refused_counts_what_was_sent(tmp_path: Path) -> None:
    async with FakeModel(Reply(status=400, error=FILTERED)) as model, serve_api(settings(model, tmp_path)) as api:
        answer = await api.post(f"{await a_thread(api)}/messages", json=LONG)
        assert answer.json()["type"] == "content_filtered"
        assert await tokens_today(api) > 5000


async def test_an_answer_that_the_filter_ended_counts_what_the_model_tells(tmp_path: Path) -> None:
    reply = Reply(text="I will", finish_reason="content_filter")
    async with FakeModel(reply) as model, serve_api(settings(model, tmp_path)) as api:
        answer = await api.post(f"{await a_thread(api)}/messages", json=LONG)
        assert answer.json()["type"] == "content_filtered"
        assert await tokens_today(api) == 18


@pytest.mark.parametrize("ending", ["cancelled", "deleted", "client gone"])
async def test_a_turn_that_somebody_ended_counts_what_was_sent_and_received(tmp_path: Path, ending: str) -> None:
    pieces = 0
    enough = asyncio.Event()

    async def pace() -> None:
        nonlocal pieces
        pieces += 1
        if pieces > 200:
            enough.set()
            await never()

    replies = (Reply(calls=(Call("calculate", '{"expression": "2+2"}'),)), Reply(text="word " * 400, wait_for_piece=pace))
    async with FakeModel(*replies) as model, serve_api(settings(model, tmp_path)) as api:
        thread = await a_thread(api)
        async with api.stream("POST", f"{thread}/messages", json=LONG, headers=SSE) as stream:
            started = await anext(sse_events(stream))
            turn = f"{thread}/turns/{started['turn_id']}"
            await enough.wait()
            if ending == "client gone":
                await stream.aclose()
            if ending != "deleted":
                await api.post(f"{turn}/cancel")
            else:
                await api.delete(thread)
        await nothing_runs(api)
        used = await tokens_today(api)
        # The first call told 18; the second has sent the message again, and about 200 words came back.
        assert 18 + 5000 + 200 < used < 18 + 5000 + 250 + 2000


@pytest.mark.parametrize("reply", [Reply(status=429), Reply(status=401), Reply(status=500)], ids=lambda reply: reply.status)
async def test_what_the_model_refused_unread_counts_nothing(tmp_path: Path, reply: Reply) -> None:
    refusal = Reply(status=reply.status, headers={"retry-after": "60", "x-should-retry": "false"})
    async with FakeModel(refusal) as model, serve_api(settings(model, tmp_path)) as api:
        assert (await api.post(f"{await a_thread(api)}/messages", json=LONG)).status_code >= 400
        assert await tokens_today(api) == 0


async def test_a_model_that_tells_no_usage_is_estimated(tmp_path: Path) -> None:
    choice = b'{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}'
    body = b'{"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [' + choice + b"]}"
    async with FakeModel(Reply(body=body)) as model, serve_api(settings(model, tmp_path)) as api:
        answer = (await api.post(f"{await a_thread(api)}/messages", json=LONG)).json()
        assert answer["metadata"]["usage"]["input_tokens"] > 5000
        assert await tokens_today(api) == sum(answer["metadata"]["usage"].values())


async def test_the_limit_holds_for_one_who_cancels_every_turn(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def wait() -> None:
        asked.set()
        await never()

    async with (
        FakeModel(Reply(wait=wait)) as model,
        serve_api(settings(model, tmp_path, limit_tokens_per_day=12_000)) as api,
    ):
        statuses = []
        for _ in range(4):
            thread = await a_thread(api)
            accepted = await api.post(f"{thread}/messages", json=LONG, headers={"Prefer": "respond-async"})
            statuses.append(accepted.status_code)
            if accepted.status_code == 202:
                await asked.wait()
                asked.clear()
                await api.post(f"{accepted.headers['location']}/cancel")
                await nothing_runs(api)
        assert statuses == [202, 202, 202, 429]


async def test_an_answer_that_used_up_the_days_tokens_is_replayed(tmp_path: Path) -> None:
    async with (
        FakeModel(Reply(text="yes")) as model,
        serve_api(settings(model, tmp_path, limit_tokens_per_day=18)) as api,
    ):
        address = f"{await a_thread(api)}/messages"
        key = {"Idempotency-Key": "k"}
        answered = await api.post(address, json={"content": "hi"}, headers=key)
        again = await api.post(address, json={"content": "hi"}, headers=key)
        assert (again.status_code, again.headers["idempotent-replayed"], again.json()) == (200, "true", answered.json())
        assert (await api.post(address, json={"content": "hi"}, headers={"Idempotency-Key": "new"})).status_code == 429
        assert await tokens_today(api) == 18
