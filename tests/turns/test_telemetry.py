"""What a collector gets of turns: spans, metrics and log lines, whatever happens to a turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from api.app import create_app
from settings import Settings
from stores.sqlite.store import SqliteStore
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.collected import Collected
from tests.support.events import SSE
from tests.support.server import serve_api
from tools.environment import ToolEnvironment

SUM = Call("calculate", '{"expression": "2 + 2"}')


def settings_for(model: FakeModel, folder: Path, **others: Any) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": folder,
            "openai_base_url": f"{model.url}/v1",
            "openai_model": "gpt-x",
            **others,
        }
    )


@asynccontextmanager
async def api_with(folder: Path, *replies: Reply, **settings: Any) -> AsyncIterator[tuple[httpx2.AsyncClient, str, FakeModel]]:
    """Serve the API with a scripted model; yield a client, and the path of a new thread's messages."""
    async with FakeModel(*replies) as model, serve_api(settings_for(model, folder, **settings)) as api:
        thread = (await api.post("/api/threads", json={})).json()
        yield api, f"/api/threads/{thread['id']}/messages", model


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    assert span.context
    id: int = span.context.span_id
    return id


@pytest.mark.parametrize("stream", [False, True])
async def test_a_turns_spans_hang_together(collected: Collected, tmp_path: Path, stream: bool) -> None:
    headers = SSE if stream else {}
    async with api_with(tmp_path, Reply(calls=(SUM,)), Reply(text="Four it is.")) as (api, path, _):
        answer = await api.post(path, json={"content": "What is 2 + 2?"}, headers=headers)
        assert answer.status_code == 200
    turn = collected.span("chat.turn")
    told = attributes(turn)
    assert told["chat.turn.status"] == "completed"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (22, 14)
    assert told["chat.tool_calls"] == 1
    assert told["chat.thread.id"] == path.split("/")[3]
    assert told["chat.turn.id"].startswith("turn_")
    assert len(told["chat.owner.hash"]) == 64
    assert ("chat.turn.time_to_first_text" in told) == stream
    request = collected.span("POST /api/threads/{thread_id}/messages")
    assert parent_of(turn) == id_of(request)
    agent = collected.span("invoke_agent")
    assert parent_of(agent) == id_of(turn)
    chats = collected.named("chat gpt-x")
    assert [parent_of(chat) for chat in chats] == [id_of(agent)] * 2
    assert [attributes(chat)["gen_ai.usage.input_tokens"] for chat in chats] == [11, 11]
    assert attributes(agent)["gen_ai.usage.output_tokens"] == 14
    tool = collected.span("execute_tool calculate")
    assert parent_of(tool) in (id_of(agent), *map(id_of, chats))
    stored = [span for span in collected.named("write chat.db") if parent_of(span) == id_of(turn)]
    assert len(stored) == 2
    assert {span.context.trace_id for span in (request, turn, agent, *chats, tool, *stored) if span.context} == {
        request.context.trace_id if request.context else 0
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_turns_metrics(collected: Collected, tmp_path: Path, stream: bool) -> None:
    headers = SSE if stream else {}
    async with api_with(tmp_path, Reply(calls=(SUM,)), Reply(text="Four it is.")) as (api, path, _):
        await api.post(path, json={"content": "What is 2 + 2?"}, headers=headers)
    assert collected.sum("chat.turns") == collected.sum("chat.turns", chat__turn__status="completed") == 1
    assert collected.count("chat.turn.duration", chat__turn__status="completed") == 1
    assert collected.count("chat.turn.time_to_first_text") == stream
    assert 0 < collected.sum("chat.turn.duration") < 30
    tokens = {"gen_ai__request__model": "gpt-x"}
    assert collected.sum("gen_ai.client.token.usage", gen_ai__token__type="input", **tokens) == 22
    assert collected.sum("gen_ai.client.token.usage", gen_ai__token__type="output", **tokens) == 14
    labels = {"gen_ai__tool__name": "calculate", "chat__tool__outcome": "ok"}
    assert collected.sum("chat.tool.calls") == collected.sum("chat.tool.calls", **labels) == 1
    assert collected.count("chat.tool.duration", **labels) == 1
    assert collected.sum("chat.streams.open") == 0
    assert len(collected.points("chat.streams.open")) == stream
    assert collected.count("db.client.operation.duration", db__system__name="sqlite", db__operation__name="write") >= 3


async def test_the_offline_models_tokens_count_too(collected: Collected, tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path)) as api:
        answer = (await api.post("/api/invoke", json={"user_input": "What is 2 + 2?"})).json()
        message = (await api.get(f"/api/threads/{answer['thread_id']}/messages?order=desc&limit=1")).json()["messages"][0]
    for kind in ("input", "output"):
        counted = collected.sum("gen_ai.client.token.usage", gen_ai__token__type=kind, gen_ai__request__model="offline")
        assert counted == message["metadata"]["usage"][f"{kind}_tokens"] > 0


async def test_a_failed_turn_has_its_problems_type(collected: Collected, tmp_path: Path) -> None:
    async with api_with(tmp_path, Reply(status=400)) as (api, path, _):
        assert (await api.post(path, json={"content": "hi"})).status_code == 500
    turn = collected.span("chat.turn")
    assert turn.status.status_code is StatusCode.ERROR
    assert turn.status.description is None
    assert attributes(turn)["chat.turn.status"] == "failed"
    assert attributes(turn)["error.type"] == "model_misconfigured"
    assert collected.sum("chat.turns", chat__turn__status="failed", error__type="model_misconfigured") == 1
    assert collected.span("POST /api/threads/{thread_id}").status.status_code is StatusCode.ERROR
    assert collected.span("chat gpt-x").status.status_code is StatusCode.ERROR


async def test_a_cancelled_turn(collected: Collected, tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def wait() -> None:
        asked.set()
        await asyncio.Event().wait()

    async with api_with(tmp_path, Reply(text="never", wait=wait)) as (api, path, _):
        turn = (await api.post(path, json={"content": "hi"}, headers={"Prefer": "respond-async"})).json()
        await asked.wait()
        await api.post(f"{path.removesuffix('messages')}turns/{turn['id']}/cancel")
    span = collected.span("chat.turn")
    assert attributes(span)["chat.turn.status"] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET
    assert collected.sum("chat.turns", chat__turn__status="cancelled") == 1


async def test_the_turn_outlives_its_request(collected: Collected, tmp_path: Path) -> None:
    answered = asyncio.Event()

    async with api_with(tmp_path, Reply(text="late", wait=answered.wait)) as (api, path, _):  # type: ignore[arg-type]
        await api.post(path, json={"content": "hi"}, headers={"Prefer": "respond-async"})
        assert [span.name for span in collected.named("POST")][-1] == "POST /api/threads/{thread_id}/messages"
        assert collected.named("chat.turn") == []
        answered.set()
    turn, request = collected.span("chat.turn"), collected.span("POST /api/threads/{thread_id}/messages")
    assert parent_of(turn) == id_of(request)
    assert parent_of(collected.span("invoke_agent")) == id_of(turn)
    assert (turn.end_time or 0) > (request.end_time or 0)


async def test_a_replay_is_no_turn(collected: Collected, tmp_path: Path) -> None:
    async with api_with(tmp_path, Reply(text="Hello")) as (api, path, _):
        for _ in range(2):
            answer = await api.post(path, json={"content": "hi"}, headers={"Idempotency-Key": "k"})
    assert collected.sum("chat.turns.replayed") == 1
    assert collected.sum("chat.turns") == 1
    first, again = collected.named("chat.turn")
    assert attributes(again)["chat.turn.id"] == attributes(first)["chat.turn.id"] == answer.json()["turn_id"]
    assert "chat.turn.status" not in attributes(again)


async def test_a_refused_turn_says_why(collected: Collected, tmp_path: Path) -> None:
    async with api_with(tmp_path, Reply(text="Hello"), limit_tokens_per_day=1) as (api, path, _):
        assert (await api.post(path, json={"content": "hi"})).status_code == 200
        assert (await api.post(path, json={"content": "hi"})).status_code == 429
    refused = collected.named("chat.turn")[-1]
    assert attributes(refused)["error.type"] == "rate_limited"
    assert attributes(refused)["chat.thread.id"] == path.split("/")[3]
    assert "chat.turn.status" not in attributes(refused)
    assert collected.sum("chat.turns") == 1
    assert collected.sum("chat.limits.hit") == 1
    assert collected.sum("chat.limits.hit", chat__limit="tokens_per_day", chat__limit__scope="owner") == 1


@pytest.mark.parametrize(
    ("setting", "limit", "scope"),
    [
        ("tenant_limit_requests_per_minute", "requests_per_minute", "tenant"),
        ("limit_turns_at_once", "turns_at_once", "owner"),
        ("limit_streams_at_once", "streams_at_once", "owner"),
        ("process_max_turns", "process_turns", "process"),
    ],
)
async def test_limits_that_are_hit(collected: Collected, tmp_path: Path, setting: str, limit: str, scope: str) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await answered.wait()

    allowed = {setting: 2 if limit == "requests_per_minute" else 1}
    async with api_with(tmp_path, Reply(text="Hello", wait=wait), **allowed) as (api, path, _):
        first = asyncio.create_task(api.post(path, json={"content": "hi"}, headers=SSE))
        await asked.wait()
        assert (await api.post(path, json={"content": "hi"}, headers=SSE)).status_code in (429, 503)
        answered.set()
        await first
    assert collected.sum("chat.limits.hit") == 1
    assert collected.sum("chat.limits.hit", chat__limit=limit, chat__limit__scope=scope) == 1


@pytest.mark.parametrize(
    ("call", "tool", "outcome"),
    [
        (Call("calculate", '{"expression": "1 / 0"}'), "calculate", "error"),
        (Call("calculate", '{"wrong": 1}'), "calculate", "error"),
        (Call("made_up", "{}"), "_OTHER", "error"),
    ],
)
async def test_tool_calls_that_fail(collected: Collected, tmp_path: Path, call: Call, tool: str, outcome: str) -> None:
    async with api_with(tmp_path, Reply(calls=(call,)), Reply(text="Sorry.")) as (api, path, _):
        assert (await api.post(path, json={"content": "hi"})).status_code == 200
    assert collected.sum("chat.tool.calls") == 1
    assert collected.sum("chat.tool.calls", gen_ai__tool__name=tool, chat__tool__outcome=outcome) == 1
    assert attributes(collected.span("chat.turn"))["chat.tool_calls"] == 1


async def test_a_tool_that_takes_too_long(collected: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def calculate(expression: str) -> None:
        await asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def open_tools(_: ToolEnvironment) -> AsyncIterator[list[Any]]:
        yield [calculate]

    monkeypatch.setattr("tools.registry.open_tools", open_tools)
    async with api_with(tmp_path, Reply(calls=(SUM,)), Reply(text="Sorry."), tool_timeout_seconds=0.01) as (api, path, _):
        assert (await api.post(path, json={"content": "hi"})).status_code == 200
    assert collected.sum("chat.tool.calls", gen_ai__tool__name="calculate", chat__tool__outcome="timeout") == 1
    assert 0.01 <= collected.sum("chat.tool.duration", chat__tool__outcome="timeout") < 5


async def test_a_lost_lease(collected: Collected, tmp_path: Path) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await answered.wait()

    async with api_with(tmp_path, Reply(text="too late", wait=wait)) as (api, path, _):
        sending = asyncio.create_task(api.post(path, json={"content": "hi"}))
        await asked.wait()
        assert (await api.delete(path.removesuffix("/messages"))).status_code == 204
        answered.set()
        assert (await sending).status_code == 503
    assert collected.sum("chat.leases.lost") == 1
    assert collected.sum("chat.turns", chat__turn__status="interrupted", error__type="turn_interrupted") == 1


async def test_events_are_stored_outside_of_any_turns_trace(collected: Collected, tmp_path: Path) -> None:
    async with api_with(tmp_path, Reply(text="Hello")) as (api, path, _):
        await api.post(path, json={"content": "hi"}, headers=SSE)
    turn = collected.span("chat.turn")
    assert len([span for span in collected.named("write chat.db") if parent_of(span) == id_of(turn)]) == 2
    assert all(span.parent for span in collected.named("write chat.db"))
    assert collected.count("db.client.operation.duration", db__operation__name="write") == 4


async def test_lines_say_whose_they_are(collected: Collected, tmp_path: Path) -> None:
    async with api_with(tmp_path, Reply(status=400)) as (api, path, _):
        await api.post(path, json={"content": "hi"}, headers={"X-Request-ID": "req-1"})
    (line,) = [line for line in collected.lines("request") if line["request_id"] == "req-1"]
    told = attributes(collected.span("chat.turn"))
    assert line["thread_id"] == told["chat.thread.id"]
    assert line["owner_hash"] == told["chat.owner.hash"]
    failed = collected.lines(f"turn {told['chat.turn.id']} of {told['chat.thread.id']} failed: model_misconfigured")
    assert [(each["request_id"], each["turn_id"], each["exception.type"]) for each in failed] == [
        ("req-1", told["chat.turn.id"], "errors.parts.ModelMisconfigured")
    ]


async def test_nothing_is_recorded_of_a_store_that_is_not_asked_by_anyone(collected: Collected, tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "chat.db"):
        pass
    assert collected.spans == []
    assert create_app(Settings(data_dir=tmp_path))
