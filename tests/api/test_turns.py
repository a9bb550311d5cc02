"""Turns as a resource: background turns, resuming, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.history import UNANSWERED
from services.intervals import Intervals
from settings import Settings
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.api import QUESTION, api_with, in_background
from tests.support.events import NDJSON, SSE, all_events, sse_events
from tests.support.server import serve_api
from tests.support.steps import Steps
from tests.support.turns import FAST
from tools.environment import ToolEnvironment

ASYNC = {"Prefer": "respond-async"}


async def the_end(api: httpx2.AsyncClient, turn: str) -> dict[str, Any]:
    """Wait for a turn's end and return it."""
    await all_events(api, f"{turn}/events")
    found: dict[str, Any] = (await api.get(turn)).json()
    return found


async def test_a_turn_in_the_background(tmp_path: Path) -> None:
    steps = Steps()
    async with FakeModel(Reply(text="one two", wait_for_piece=steps)) as model, api_with(model, tmp_path) as (api, path):
        response = await api.post(path, json=QUESTION, headers={"Prefer": "wait=5, Respond-Async"})
        assert (response.status_code, response.headers["preference-applied"]) == (202, "respond-async")
        turn, location = response.json(), response.headers["location"]
        assert location == f"{path.removesuffix('/messages')}/turns/{turn['id']}"
        assert (turn["status"], turn["ended_at"]) == ("running", None)
        assert turn.keys() == {"id", "thread_id", "status", "started_at", "ended_at"}
        assert (await api.get(location)).json() == turn
        steps.step(9)
        events = await all_events(api, f"{location}/events")
        assert [event.get("text") for event in events] == [None, "one ", "two", None]
        ended = (await api.get(location)).json()
        assert (ended["status"], ended["message"], ended["started_at"]) == (
            "completed",
            events[-1]["message"],
            turn["started_at"],
        )
        assert ended["ended_at"] >= ended["started_at"]
        assert model.requests[0]["stream"] is True


async def test_a_background_turn_with_a_known_key_is_the_first_one(api: httpx2.AsyncClient, thread_id: str) -> None:
    path = f"/api/threads/{thread_id}/messages"
    first = await in_background(api, path, **{"Idempotency-Key": "k"})
    await the_end(api, first)
    again = await api.post(path, json=QUESTION, headers={**ASYNC, "Idempotency-Key": "k"})
    assert (again.status_code, again.headers["location"], again.headers["idempotent-replayed"]) == (202, first, "true")
    assert again.json()["status"] == "completed"


async def test_a_json_turns_log_holds_the_text_in_one_piece(tmp_path: Path) -> None:
    async with FakeModel(Reply(text="one two three")) as model, api_with(model, tmp_path) as (api, path):
        answer = (await api.post(path, json=QUESTION)).json()
        turn = f"{path.removesuffix('/messages')}/turns/{answer['turn_id']}"
        events = await all_events(api, f"{turn}/events")
        assert [event["type"] for event in events] == ["turn.started", "message.delta", "message.completed"]
        assert events[1]["text"] == "one two three"
        assert not model.requests[0].get("stream")


async def test_a_failed_turn_shows_its_problem(tmp_path: Path) -> None:
    async with FakeModel(Reply(status=401)) as model, api_with(model, tmp_path) as (api, path):
        turn = await the_end(api, await in_background(api, path))
        assert (turn["status"], turn["problem"]["type"]) == ("failed", "model_misconfigured")
        assert "message" not in turn


@pytest.mark.parametrize("query", [False, True])
async def test_resuming_in_another_process(tmp_path: Path, query: bool) -> None:
    steps = Steps()
    async with (
        FakeModel(Reply(text="one two three four", wait_for_piece=steps)) as model,
        api_with(model, tmp_path, Intervals(FAST)) as (api, path),
        serve_api(Settings(data_dir=tmp_path), Intervals(FAST)) as other,
    ):
        turn = await in_background(api, path)
        steps.step(3)
        seen: list[dict[str, Any]] = []
        async with other.stream("GET", f"{turn}/events", headers=SSE) as response:
            async for event in sse_events(response):
                seen.append(event)
                if event.get("text") == "two ":
                    break
        steps.step(9)
        where = {"params": {"after": 3}} if query else {"headers": {"Last-Event-ID": "3"}}
        rest = await other.get(f"{turn}/events", **where)
        assert rest.headers["content-type"].startswith("text/event-stream")
        ids = [int(line[4:]) for line in rest.text.splitlines() if line.startswith("id: ")]
        assert [event["id"] for event in seen] + ids == [1, 2, 3, 4, 5, 6]
        assert (await other.get(f"{turn}/events?after=6")).status_code == 204
        lines = (await other.get(f"{turn}/events", headers=NDJSON)).text.splitlines()
        assert len(lines) == 6


@pytest.mark.parametrize("where", ["same process", "other process"])
@pytest.mark.parametrize("stream", [True, False])
async def test_cancelling_aborts_the_model_and_keeps_the_text(tmp_path: Path, where: str, stream: bool) -> None:
    steps = Steps()
    reply = Reply(text="one two three", wait_for_piece=steps, wait=None if stream else steps)
    async with (
        FakeModel(reply, Reply(text="Well.")) as model,
        api_with(model, tmp_path, Intervals(FAST)) as (api, path),
        serve_api(Settings(data_dir=tmp_path), Intervals(FAST)) as other,
    ):
        caller = asyncio.create_task(api.post(path, json=QUESTION, headers=SSE if stream else {}))
        running: list[dict[str, Any]] = []
        while not model.requests:
            running = (await api.get(path)).json()["messages"]
        running = (await api.get(path)).json()["messages"]
        turn = f"{path.removesuffix('/messages')}/turns/{running[0]['turn_id']}"
        if stream:
            steps.step(2)
            async with api.stream("GET", f"{turn}/events", headers=SSE) as response:
                async for event in sse_events(response):
                    if event.get("text") == "one ":
                        break
        cancelled = await (api if where == "same process" else other).post(f"{turn}/cancel")
        assert cancelled.status_code == 202
        await model.disconnected.wait()
        answer = await caller
        partial = "one " if stream else ""
        if stream:
            assert answer.text.splitlines()[-3] == "event: turn.cancelled"
        else:
            assert (answer.status_code, answer.json()["status"], answer.json()["content"]) == (200, "cancelled", "")
        ended = (await other.get(turn)).json()
        assert (ended["status"], ended["message"]["content"]) == ("cancelled", partial)
        refused = await api.post(f"{turn}/cancel")
        assert (refused.status_code, refused.json()["type"]) == (409, "turn_ended")
        steps.step(99)
        assert (await api.post(path, json={"content": "And now?"})).json()["content"] == "Well."
        shown = [(each["role"], each["content"]) for each in model.requests[-1]["messages"][1:]]
        question = [("user", QUESTION["content"])]
        assert shown == [*question, ("assistant", partial if stream else UNANSWERED), ("user", "And now?")]


async def test_cancelling_stops_running_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Reply(text="Wait.", calls=(Call("get_tide", '{"place": "Seattle"}'),))
    started = asyncio.Event()

    async def get_tide(place: str) -> None:
        """Look up the tide."""
        started.set()
        await asyncio.Event().wait()

    @asynccontextmanager
    async def open_tools(_: ToolEnvironment) -> AsyncIterator[list[Any]]:
        yield [get_tide]

    monkeypatch.setattr("tools.registry.open_tools", open_tools)
    async with FakeModel(calls, Reply(text="Never mind.")) as model, api_with(model, tmp_path) as (api, path):
        turn = await in_background(api, path)
        await started.wait()
        assert (await api.get(turn)).json()["status"] == "running"
        await api.post(f"{turn}/cancel")
        events = await all_events(api, f"{turn}/events")
        assert [event["type"] for event in events[-3:]] == ["tool.started", "tool.completed", "turn.cancelled"]
        [call] = events[-1]["message"]["tool_calls"]
        assert (call["error"], events[-1]["message"]["content"]) == ("the tool was stopped", "Wait.")
        assert (await api.post(path, json={"content": "And now?"})).status_code == 200
        roles = [each["role"] for each in model.requests[-1]["messages"]]
        assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


@pytest.mark.parametrize(
    ("path", "status", "type"),
    [
        (f"turn_{'0' * 32}", 404, "turn_not_found"),
        (f"turn_{'0' * 32}/events", 404, "turn_not_found"),
        ("other", 404, "turn_not_found"),
        ("other/events", 404, "turn_not_found"),
    ],
)
async def test_a_turn_that_is_not_there(api: httpx2.AsyncClient, thread_id: str, path: str, status: int, type: str) -> None:
    response = await api.get(f"/api/threads/{thread_id}/turns/{path}")
    assert (response.status_code, response.json()["type"]) == (status, type)


@pytest.mark.parametrize(("headers", "query"), [({"Last-Event-ID": "x"}, ""), ({}, "?after=-1"), ({}, "?after=1e9")])
async def test_a_place_that_is_no_number(api: httpx2.AsyncClient, thread_id: str, headers: dict[str, str], query: str) -> None:
    response = await api.get(f"/api/threads/{thread_id}/turns/turn_{'0' * 32}/events{query}", headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] in ("header.last-event-id", "query.after")


async def test_following_takes_no_other_format(api: httpx2.AsyncClient, thread_id: str) -> None:
    response = await api.get(f"/api/threads/{thread_id}/turns/turn_{'0' * 32}/events", headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["type"]) == (406, "not_acceptable")
