"""Answers that flow: server-sent events and NDJSON from the same endpoint."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.intervals import Intervals
from stores.sqlite.store import SqliteStore
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.api import QUESTION, api_with
from tests.support.events import NDJSON, SSE, all_events, sse_events
from tests.support.steps import Steps


async def test_a_whole_conversation_byte_by_byte(api: httpx2.AsyncClient, thread_id: str) -> None:
    response = await api.post(f"/api/threads/{thread_id}/messages", json=QUESTION, headers=SSE)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    _, answer = (await api.get(f"/api/threads/{thread_id}/messages")).json()["messages"]
    turn = f'"turn_id":"{answer["turn_id"]}"'
    [call] = answer["tool_calls"]
    called = f'"call_id":"{call["id"]}","tool":"calculate"'
    message = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    assert response.text == (
        f'id: 1\nevent: turn.started\ndata: {{"id":1,"type":"turn.started",{turn}}}\n\n'
        f'id: 2\nevent: tool.started\ndata: {{"id":2,"type":"tool.started",{turn},{called},'
        '"arguments":{"expression":"85 * 0.15"}}\n\n'
        f'id: 3\nevent: tool.completed\ndata: {{"id":3,"type":"tool.completed",{turn},{called},'
        f'"result":12.75,"duration_ms":{call["duration_ms"]}}}\n\n'
        f'id: 4\nevent: message.delta\ndata: {{"id":4,"type":"message.delta",{turn},"text":"85 * 0.15"}}\n\n'
        f'id: 5\nevent: message.delta\ndata: {{"id":5,"type":"message.delta",{turn},"text":" = 12.75"}}\n\n'
        f'id: 6\nevent: message.completed\ndata: {{"id":6,"type":"message.completed",{turn},"message":{message}}}\n\n'
    )


async def test_ndjson_has_the_same_objects(api: httpx2.AsyncClient, thread_id: str) -> None:
    response = await api.post(f"/api/threads/{thread_id}/messages", json=QUESTION, headers=NDJSON)
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["cache-control"] == "no-store"
    events = [json.loads(line) for line in response.text.splitlines()]
    assert [event["type"] for event in events] == [
        "turn.started",
        "tool.started",
        "tool.completed",
        "message.delta",
        "message.delta",
        "message.completed",
    ]
    async with api.stream("GET", f"/api/threads/{thread_id}/turns/{events[0]['turn_id']}/events", headers=SSE) as response:
        assert [event async for event in sse_events(response)] == events


@pytest.mark.parametrize("headers", [SSE, NDJSON])
async def test_text_arrives_as_the_model_gives_it(tmp_path: Path, headers: dict[str, str]) -> None:
    steps = Steps()
    async with FakeModel(Reply(text="one two three", wait_for_piece=steps)) as model, api_with(model, tmp_path) as (api, path):
        async with api.stream("POST", path, json=QUESTION, headers=headers) as response:
            lines = response.aiter_lines()
            seen = ""
            steps.step()
            for word in ("one", "two", "three"):
                assert word not in seen
                steps.step()
                while word not in seen:
                    seen += await anext(lines)
            steps.step(9)
            async for line in lines:
                seen += line
        assert model.requests[0]["stream"] is True
        assert "message.completed" in seen


async def test_tools_come_in_order_with_the_text_around_them(tmp_path: Path) -> None:
    calls = (Call("get_tide", '{"place": "Oslo"}', "a"), Call("calculate", '{"expression": "1/0"}', "b"))
    replies = (Reply(text="Let me see.", calls=calls), Reply(text="Here it is."))
    async with (
        FakeModel(*replies) as model,
        api_with(model, tmp_path) as (api, path),
        api.stream("POST", path, json=QUESTION, headers=SSE) as response,
    ):
        events = [event async for event in sse_events(response)]
    told = [(event["type"], event.get("call_id") or event.get("text")) for event in events]
    assert told[:4] == [("turn.started", None), ("message.delta", "Let "), ("message.delta", "me "), ("message.delta", "see.")]
    assert [each for each in told if each[1] in ("a", "b")] in (
        [("tool.started", "a"), ("tool.started", "b"), ("tool.completed", "a"), ("tool.completed", "b")],
        [("tool.started", "a"), ("tool.started", "b"), ("tool.completed", "b"), ("tool.completed", "a")],
        [("tool.started", "a"), ("tool.completed", "a"), ("tool.started", "b"), ("tool.completed", "b")],
    )
    assert told[8:11] == [("message.delta", "\n\nHere "), ("message.delta", "it "), ("message.delta", "is.")]
    assert [event["error"] for event in events if "error" in event] == ["division by zero"]
    message = events[-1]["message"]
    assert message["content"] == "Let me see.\n\nHere it is." == "".join(event.get("text", "") for event in events)
    assert [call["id"] for call in message["tool_calls"]] == ["a", "b"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/event-stream, application/json", "application/json"),
        ("text/*", "text/event-stream; charset=utf-8"),
        ("text/event-stream, */*", "text/event-stream; charset=utf-8"),
        ("TEXT/Event-Stream", "text/event-stream; charset=utf-8"),
        ("application/json;q=0.5, text/event-stream", "text/event-stream; charset=utf-8"),
        ("application/json;q=0.5, text/event-stream;q=0.4, application/x-ndjson;q=0.6", "application/x-ndjson"),
        ("*/*;q=0.1, application/json;q=0, text/event-stream;q=0", "application/x-ndjson"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;charset=utf-8", "application/json"),
    ],
)
async def test_the_caller_chooses_the_format(
    api: httpx2.AsyncClient, thread_id: str, accept: str | None, content_type: str
) -> None:
    request = api.build_request("POST", f"/api/threads/{thread_id}/messages", json=QUESTION)
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    response = await api.send(request)
    assert (response.status_code, response.headers["content-type"]) == (200, content_type)


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "*/*;q=0", "application/json;q=2", "nonsense"])
async def test_a_format_that_is_not_offered(api: httpx2.AsyncClient, thread_id: str, accept: str) -> None:
    response = await api.post(f"/api/threads/{thread_id}/messages", json=QUESTION, headers={"Accept": accept})
    assert (response.status_code, response.json()["type"]) == (406, "not_acceptable")
    assert "text/event-stream" in response.json()["detail"]
    assert (await api.get(f"/api/threads/{thread_id}")).json()["message_count"] == 0


async def test_errors_before_the_first_event_are_problems(api: httpx2.AsyncClient, thread_id: str) -> None:
    path = f"/api/threads/{thread_id}/messages"
    missing = await api.post(f"/api/threads/thread_{'0' * 32}/messages", json=QUESTION, headers=SSE)
    invalid = await api.post(path, json={"content": " "}, headers=SSE)
    await api.post(path, json=QUESTION, headers={**SSE, "Idempotency-Key": "k"})
    reused = await api.post(path, json={"content": "other"}, headers={**SSE, "Idempotency-Key": "k"})
    for response, status, type in (
        (missing, 404, "thread_not_found"),
        (invalid, 422, "validation_failed"),
        (reused, 422, "idempotency_key_reused"),
    ):
        assert (response.status_code, response.json()["type"]) == (status, type)
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_repeated_key_streams_the_answer_again(api: httpx2.AsyncClient, thread_id: str) -> None:
    headers = {**SSE, "Idempotency-Key": "k"}
    path = f"/api/threads/{thread_id}/messages"
    async with api.stream("POST", path, json=QUESTION, headers=headers) as response:
        first = [event async for event in sse_events(response)]
    async with api.stream("POST", path, json=QUESTION, headers=headers) as response:
        assert response.headers["idempotent-replayed"] == "true"
        [again] = [event async for event in sse_events(response)]
    assert (again["type"], again["turn_id"], again["message"]) == (
        "message.completed",
        first[0]["turn_id"],
        first[-1]["message"],
    )


async def test_a_turn_that_fails_on_the_way_says_so_and_ends_cleanly(tmp_path: Path) -> None:
    replies = (Reply(text="I was about to", drop_after_pieces=3), Reply(status=429, headers={"retry-after": "20"}))
    async with FakeModel(*replies) as model, api_with(model, tmp_path) as (api, path):
        for types, problem in (
            (["turn.started", "message.delta", "message.delta", "turn.failed"], "model_unavailable"),
            (["turn.started", "turn.failed"], "model_throttled"),
        ):
            async with api.stream("POST", path, json=QUESTION, headers={**SSE, "X-Request-ID": "mine"}) as response:
                assert response.status_code == 200
                events = [event async for event in sse_events(response)]
            assert [event["type"] for event in events] == types
            assert events[-1]["problem"]["type"] == problem
            assert events[-1]["problem"]["request_id"] == "mine"


@pytest.mark.parametrize(("headers", "start"), [(SSE, ":"), (NDJSON, "")])
async def test_silence_is_filled_with_heartbeats(tmp_path: Path, headers: dict[str, str], start: str) -> None:
    steps, intervals = Steps(), Intervals(heartbeat=0.01)
    async with FakeModel(Reply(text="Hello", wait=steps)) as model, api_with(model, tmp_path, intervals) as (api, path):
        async with api.stream("POST", path, json=QUESTION, headers=headers) as response:
            heartbeats, lines = 0, response.aiter_lines()
            while heartbeats < 3:
                line = await anext(lines)
                # In NDJSON an empty line, which ends an event in server-sent events.
                heartbeats += line.startswith(start) if start else not line
            steps.step()
            rest = [found[0] async for line in lines if (found := re.findall(r'"type":"(message\.[a-z]+)"', line))]
        assert rest == ["message.delta", "message.completed"]


async def test_a_reader_who_leaves_does_not_stop_the_turn(tmp_path: Path) -> None:
    steps = Steps()
    async with FakeModel(Reply(text="one two three", wait_for_piece=steps)) as model, api_with(model, tmp_path) as (api, path):
        async with api.stream("POST", path, json=QUESTION, headers=SSE) as response:
            steps.step(2)
            async for event in sse_events(response):
                if event.get("text") == "one ":
                    break
        steps.step(9)
        turn = f"{path.removesuffix('/messages')}/turns/{event['turn_id']}/events"
        async with api.stream("GET", turn, headers={**SSE, "Last-Event-ID": str(event["id"])}) as response:
            rest = [event async for event in sse_events(response)]
        assert [event.get("text") for event in rest] == ["two ", "three", None]
        assert rest[-1]["message"]["content"] == "one two three"


async def test_a_reader_who_does_not_read_neither_holds_the_turn_up_nor_lasts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "api.streaming")
    text = " ".join(["x" * 50_000] * 200)
    async with FakeModel(Reply(text=text)) as model, api_with(model, tmp_path, Intervals(send=0.2)) as (api, path):
        body = json.dumps(QUESTION).encode()
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect((api.base_url.host, api.base_url.port))
            reader.setblocking(False)
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n"
            reader.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            messages: list[dict[str, str]] = []
            while len(messages) < 2:
                messages = (await api.get(path, params={"limit": 2})).json()["messages"]
            # Longer than what can be stored of an answer: its beginning, and a mark.
            content = messages[1]["content"]
            assert len(content) > 1_000_000
            assert text.startswith(content[:1_000_000])
            received = 0
            loop = asyncio.get_running_loop()
            while "stream closed" not in caplog.text:
                await api.get("/api/health")
            try:
                while piece := await loop.sock_recv(reader, 1 << 20):
                    received += len(piece)
            except ConnectionResetError:
                pass
            assert 0 < received < len(content)


async def test_a_stream_whose_turn_ends_nobody_knows_how_breaks_off(
    api: httpx2.AsyncClient, thread_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = [SqliteStore.commit_turn]

    async def commit(*arguments: Any, **options: Any) -> None:
        if commits:
            await commits.pop()(*arguments, **options)
        raise RuntimeError("its answer is lost")

    monkeypatch.setattr(SqliteStore, "commit_turn", commit)
    path = f"/api/threads/{thread_id}/messages"
    events: list[dict[str, Any]] = []

    async def read() -> None:
        async with api.stream("POST", path, json={"content": "Tell me a joke"}, headers=SSE) as response:
            async for event in sse_events(response):
                events.append(event)

    with pytest.raises(httpx2.RemoteProtocolError):
        await read()
    assert events[-1]["type"] == "message.delta"
    turn = f"/api/threads/{thread_id}/turns/{events[0]['turn_id']}"
    assert (await all_events(api, f"{turn}/events"))[-1]["type"] == "message.completed"
