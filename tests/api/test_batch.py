"""A batch of questions: its deadline, its places, and what it counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from services.intervals import Intervals
from settings import Settings
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.model import FakeModel, Reply
from tests.support.server import serve_api

PLACE = Intervals(place=0.01)


def settings(model: FakeModel, path: Path, **more: Any) -> Settings:
    return Settings(data_dir=path, openai_base_url=f"{model.url}/v1", openai_model="gpt-x", **more)


async def threads(api: httpx2.AsyncClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await api.get("/api/threads")).json()["threads"]
    return listed


async def test_a_batch_ends_at_its_deadline_and_says_what_was_not_answered(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    replies = [Reply(text="one"), Reply(text="two", wait=wait)]
    async with FakeModel(*replies) as model, serve_api(settings(model, tmp_path, batch_timeout_seconds=1)) as api:
        thread = (await api.post("/api/threads", json={})).json()["id"]
        answered = (await api.post("/api/batch", json={"questions": ["1", "2", "3"], "thread_id": thread})).json()
        assert answered["answers"] == ["one", "", ""]
        assert [result.get("problem", {}).get("type") for result in answered["results"]] == [None] + ["turn_timeout"] * 2
        assert [result["thread_id"] for result in answered["results"]] == [thread] * 3
        messages = f"/api/threads/{thread}/messages"
        assert [each["content"] for each in (await api.get(messages)).json()["messages"]] == ["1", "one", "2"]
        gate.set()
        async with asyncio.timeout(10):
            while len(history := (await api.get(messages)).json()["messages"]) < 4:
                pass
        assert history[-1]["content"] == "two"


async def test_no_further_question_is_asked_once_the_caller_has_left(tmp_path: Path) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await gate.wait()

    async with FakeModel(Reply(text="yes", wait=wait)) as model, serve_api(settings(model, tmp_path)) as api:
        thread = (await api.post("/api/threads", json={})).json()["id"]
        body = {"questions": ["1", "2", "3"], "thread_id": thread}
        async with httpx2.AsyncClient(base_url=api.base_url) as leaving:
            request = asyncio.create_task(leaving.post("/api/batch", json=body))
            await asked.wait()
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
        gate.set()
        async with asyncio.timeout(10):
            while (await api.get(f"/api/threads/{thread}")).json()["message_count"] < 2:
                pass
        # The server has heard of it by now: every request since came after it.
        again = await api.post(f"/api/threads/{thread}/messages", json={"content": "4"})
        assert again.status_code == 200
        history = (await api.get(f"/api/threads/{thread}/messages")).json()["messages"]
        assert [each["content"] for each in history] == ["1", "yes", "4", "yes"]


async def test_a_batch_waits_for_a_place_with_one_turn_at_once(tmp_path: Path) -> None:
    async with (
        FakeModel(Reply(text="yes")) as model,
        serve_api(settings(model, tmp_path, limit_turns_at_once=1), PLACE) as api,
    ):
        answered = (await api.post("/api/batch", json={"questions": ["?"] * 6})).json()
        assert answered["answers"] == ["yes"] * 6
        assert len(await threads(api)) == 6


async def test_a_batch_waits_for_the_place_of_another_turn_until_its_deadline(tmp_path: Path) -> None:
    limits = {"limit_turns_at_once": 1, "batch_timeout_seconds": 0.5}
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    async with FakeModel(Reply(text="yes", wait=wait)) as model, serve_api(settings(model, tmp_path, **limits), PLACE) as api:
        thread = (await api.post("/api/threads", json={})).json()["id"]
        await api.post(f"/api/threads/{thread}/messages", json={"content": "hi"}, headers={"Prefer": "respond-async"})
        answered = (await api.post("/api/batch", json={"questions": ["?"] * 3})).json()
        assert [result["problem"]["type"] for result in answered["results"]] == ["turn_timeout"] * 3
        assert [each["id"] for each in await threads(api)] == [thread]
        # Else the server would wait for the turn when it stops.
        gate.set()


async def test_each_question_of_a_batch_is_a_request(tmp_path: Path) -> None:
    async with FakeModel(Reply(text="yes")) as model, serve_api(settings(model, tmp_path, limit_requests_per_minute=4)) as api:
        response = await api.post("/api/batch", json={"questions": [str(number) for number in range(6)]})
        answered = response.json()
        assert answered["answers"] == ["yes"] * 4 + [""] * 2
        assert [each["problem"]["type"] for each in answered["results"][4:]] == ["rate_limited"] * 2
        assert [each["thread_id"] for each in answered["results"][4:]] == [None] * 2
        assert response.headers["ratelimit"].startswith('"owner";r=0;')
        assert (await api.post("/api/batch", json={"questions": ["?"]})).status_code == 429


async def test_questions_over_the_days_tokens_leave_no_threads(tmp_path: Path) -> None:
    async with FakeModel(Reply(text="yes")) as model, serve_api(settings(model, tmp_path, limit_tokens_per_day=18)) as api:
        assert (await api.post("/api/invoke", json={"user_input": "hi"})).status_code == 200
        body = {"questions": ["?"] * 3}
        for more in ({}, {"thread_id": "a session"}):
            answered = (await api.post("/api/batch", json=body | more)).json()
            assert [result["problem"]["type"] for result in answered["results"]] == ["rate_limited"] * 3
        for endpoint in ("invoke", "stream"):
            for more in ({}, {"thread_id": "a session"}):
                refused = await api.post(f"/api/{endpoint}", json={"user_input": "hi", **more})
                assert (refused.status_code, refused.json()["type"]) == (429, "rate_limited")
        assert len(await threads(api)) == 1


async def test_a_store_that_does_not_answer_holds_no_batch_longer_than_its_deadline(tmp_path: Path) -> None:
    """Audit H4."""
    async with FakeCosmos() as cosmos, FakeModel(Reply(text="yes")) as model:
        on_cosmos = {"cosmos_endpoint": cosmos.endpoint, "cosmos_key": KEY, "batch_timeout_seconds": 1}
        async with serve_api(settings(model, tmp_path, **on_cosmos)) as api:
            thread = (await api.post("/api/threads", json={})).json()["id"]
            held = cosmos.fail("patch", "messages", hold=True)
            request = asyncio.create_task(api.post("/api/batch", json={"questions": ["1", "2"], "thread_id": thread}))
            await held.reached.wait()
            async with asyncio.timeout(5):
                answered = (await request).json()
            assert [result["problem"]["type"] for result in answered["results"]] == ["turn_timeout"] * 2
            held.released.set()


async def test_a_question_that_fails_as_nobody_foresaw_does_not_cost_the_others_answers(tmp_path: Path) -> None:
    async with FakeCosmos() as cosmos, FakeModel(Reply(text="yes")) as model:
        on_cosmos = {"cosmos_endpoint": cosmos.endpoint, "cosmos_key": KEY}
        async with serve_api(settings(model, tmp_path, **on_cosmos)) as api:
            cosmos.fail("patch", "messages", status=400)
            answered = (await api.post("/api/batch", json={"questions": ["1", "2"], "thread_id": "mine"})).json()
            assert answered["answers"] == ["", "yes"]
            assert [result.get("problem", {}).get("type") for result in answered["results"]] == ["internal_error", None]
