"""What a model thought before it answered is shown to who asks for it, and to nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.reasoning import batches_for
from api.streaming import Batches
from events import MessageDelta, ReasoningDelta, TurnEvent
from services.intervals import Intervals
from settings import Settings
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.api import QUESTION, api_with
from tests.support.events import NDJSON, SSE, all_events, sse_events
from tests.support.server import serve_api
from tests.support.steps import Steps
from tests.support.turns import FAST

ASKED = {"reasoning": "true"}
THOUGHT = "secret one two"
REPLY = Reply(reasoning=THOUGHT, text="Yes.")
TYPES = ["turn.started", *["reasoning.delta"] * 3, "message.delta", "message.completed"]
SHOWN = ["turn.started", "message.delta", "message.completed"]


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    async with FakeModel(REPLY) as model, api_with(model, tmp_path) as (api, path):
        yield api, path


def turn_of(path: str, answer: Any) -> str:
    return f"{path.removesuffix('/messages')}/turns/{answer['turn_id']}"


async def test_an_answer_has_it_for_who_asks(thread: tuple[httpx2.AsyncClient, str]) -> None:
    api, path = thread
    answer = (await api.post(path, json=QUESTION, params=ASKED)).json()
    assert (answer["content"], answer["reasoning"]) == ("Yes.", THOUGHT)
    hidden = {name: value for name, value in answer.items() if name != "reasoning"}
    for parameters, seen in ((ASKED, answer), ({}, hidden), ({"reasoning": "false"}, hidden)):
        assert (await api.get(path, params=parameters)).json()["messages"][1] == seen
        assert (await api.get(turn_of(path, answer), params=parameters)).json()["message"] == seen


async def test_a_message_of_the_user_has_none(thread: tuple[httpx2.AsyncClient, str]) -> None:
    api, path = thread
    await api.post(path, json=QUESTION)
    question, _ = (await api.get(path, params=ASKED)).json()["messages"]
    assert "reasoning" not in question


@pytest.mark.parametrize("headers", [SSE, NDJSON])
async def test_a_stream_has_it_for_who_asks(thread: tuple[httpx2.AsyncClient, str], headers: dict[str, str]) -> None:
    api, path = thread
    asked = await api.post(path, json=QUESTION, headers=headers, params=ASKED)
    assert asked.text.count("reasoning.delta") >= 3
    assert asked.text.count(f'"reasoning":"{THOUGHT}"') == 1
    for parameters in ({}, {"reasoning": "false"}):
        answer = await api.post(path, json=QUESTION, headers=headers, params=parameters)
        assert "Yes." in answer.text
        assert "reasoning" not in answer.text
        assert "secret" not in answer.text


async def test_a_turns_events_have_it_for_who_asks_and_gaps_for_others(thread: tuple[httpx2.AsyncClient, str]) -> None:
    api, path = thread
    answer = await api.post(path, json=QUESTION, headers=SSE)
    turn = turn_of(path, json.loads(answer.text.rpartition("data: ")[2]))
    asked, others = await all_events(api, f"{turn}/events?reasoning=true"), await all_events(api, f"{turn}/events")
    assert [event["type"] for event in asked] == TYPES
    assert [event["text"] for event in asked[1:4]] == ["secret ", "one ", "two"]
    assert [(event["id"], event["type"]) for event in others] == [(id, type) for id, type in zip((1, 5, 6), SHOWN, strict=True)]
    assert "secret" not in json.dumps(others)
    for after in range(6):
        again = await all_events(api, f"{turn}/events", **{"Last-Event-ID": str(after)})
        assert again == [event for event in others if event["id"] > after]
    assert (await api.get(f"{turn}/events", headers={**SSE, "Last-Event-ID": "6"})).status_code == 204


async def test_a_follower_on_another_instance_has_it_if_it_asks(tmp_path: Path) -> None:
    steps = Steps()
    async with FakeModel(Reply(reasoning=THOUGHT, text="Yes.", wait_for_piece=steps)) as model:
        served = Settings(data_dir=tmp_path, openai_base_url=f"{model.url}/v1", openai_model="gpt-x")
        quick = Intervals(turns=FAST)
        async with serve_api(served, quick) as api, serve_api(served, quick) as other:
            path = f"/api/threads/{(await api.post('/api/threads', json={})).json()['id']}/messages"
            accepted = await api.post(path, json=QUESTION, headers={"Prefer": "respond-async"}, params=ASKED)
            events = f"{accepted.headers['location']}/events"
            async with (
                other.stream("GET", f"{events}?reasoning=true", headers=SSE) as asked,
                other.stream("GET", events, headers=SSE) as not_asked,
            ):
                steps.step(3)
                seen = sse_events(asked)
                assert [(await anext(seen))["type"] for _ in range(3)] == TYPES[:3]
                steps.step(9)
                assert [event["type"] async for event in seen] == TYPES[3:]
                others = [event async for event in sse_events(not_asked)]
            assert [event["type"] for event in others] == SHOWN
            assert "secret" not in json.dumps(others)
            assert (await other.get(accepted.headers["location"])).json()["message"] == others[-1]["message"]


async def test_a_replay_shows_it_to_who_asks(thread: tuple[httpx2.AsyncClient, str]) -> None:
    api, path = thread
    key = {"Idempotency-Key": "k"}
    first = (await api.post(path, json=QUESTION, headers=key)).json()
    assert "reasoning" not in first
    asked = await api.post(path, json=QUESTION, headers=key, params=ASKED)
    assert (asked.headers["idempotent-replayed"], asked.json()) == ("true", {**first, "reasoning": THOUGHT})
    assert (await api.post(path, json=QUESTION, headers=key)).json() == first
    for headers in (SSE, {"Prefer": "respond-async"}):
        assert THOUGHT in (await api.post(path, json=QUESTION, headers={**key, **headers}, params=ASKED)).text
        assert THOUGHT not in (await api.post(path, json=QUESTION, headers={**key, **headers})).text


async def test_a_cancelled_turn_keeps_what_was_thought(tmp_path: Path) -> None:
    steps = Steps()
    async with (
        FakeModel(Reply(reasoning=THOUGHT, text="Yes.", wait_for_piece=steps)) as model,
        api_with(model, tmp_path) as (api, path),
        api.stream("POST", path, json=QUESTION, headers=SSE, params=ASKED) as stream,
    ):
        steps.step(3)
        events = sse_events(stream)
        for _ in range(3):
            turn = turn_of(path, await anext(events))
        cancelled = await api.post(f"{turn}/cancel")
        [final] = [event async for event in events]
        assert (final["type"], final["message"]["reasoning"], final["message"]["content"]) == (
            "turn.cancelled",
            "secret one ",
            "",
        )
        assert "secret" not in cancelled.text
        assert "secret" not in json.dumps(await all_events(api, f"{turn}/events"))


async def test_the_export_has_it_and_nothing_else_shows_it(thread: tuple[httpx2.AsyncClient, str]) -> None:
    api, path = thread
    answer = (await api.post(path, json=QUESTION)).json()
    rated = await api.put(f"{path}/{answer['id']}/feedback", json={"rating": "up"})
    assert (rated.status_code, rated.json()["feedback"]["rating"]) == (200, "up")
    simple = {"user_input": "Hi"}
    others = [
        rated,
        await api.post("/api/invoke", json=simple),
        await api.post("/api/batch", json={"questions": ["Hi"]}),
        await api.post("/api/stream", json=simple),
        await api.get(path.removesuffix("/messages")),
        await api.get("/api/threads"),
    ]
    for other in others:
        assert other.status_code == 200
        assert "secret" not in other.text
        assert "reasoning" not in other.text
    messages = [json.loads(line).get("message", {}) for line in (await api.get("/api/export")).text.splitlines()]
    kept = {message["id"]: message.get("reasoning") for message in messages if message.get("role") == "assistant"}
    assert kept[answer["id"]] == THOUGHT
    assert set(kept.values()) == {THOUGHT}


async def test_the_model_is_never_shown_it_again(tmp_path: Path) -> None:
    call = Call("calculate", '{"expression": "2+2"}')
    replies = (Reply(reasoning=THOUGHT, calls=(call,)), REPLY)
    async with FakeModel(*replies) as model, api_with(model, tmp_path) as (api, path):
        answer = (await api.post(path, json=QUESTION, params=ASKED)).json()
        assert answer["reasoning"] == f"{THOUGHT}\n\n{THOUGHT}"
        await api.post(path, json=QUESTION)
        assert len(model.requests) == 3
        assert "secret" not in json.dumps(model.requests)


@pytest.mark.parametrize("value", ["1", "yes", "True", "on", "", "null"])
@pytest.mark.parametrize("target", ["", "/turns/x", "/turns/x/events", "/messages"])
async def test_it_is_asked_for_in_one_way(api: httpx2.AsyncClient, thread_id: str, target: str, value: str) -> None:
    path = f"/api/threads/{thread_id}{target or '/messages'}"
    body = None if target else QUESTION
    answer = await api.request("GET" if target else "POST", path, params={"reasoning": value}, json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query.reasoning"


async def batches(*given: Sequence[TurnEvent]) -> Batches:
    for each in given:
        yield each


@pytest.mark.parametrize(("interval", "heartbeats"), [(0.0, 3), (1000.0, 1)])
async def test_hidden_reasoning_neither_fills_a_stream_nor_leaves_it_silent(interval: float, heartbeats: int) -> None:
    thought = ReasoningDelta(id=1, turn_id="t", text="secret")
    said = MessageDelta(id=4, turn_id="t", text="Yes.")
    given = batches([thought], [thought], (), [thought, said])
    sent = [batch async for batch in batches_for(given, reasoning=False, heartbeat_interval=interval)]
    assert [list(batch) for batch in sent] == [*[[]] * heartbeats, [said]]


async def test_a_reader_who_leaves_closes_what_it_read() -> None:
    closed = asyncio.Event()

    async def endless() -> Batches:
        try:
            while True:
                yield [MessageDelta(id=1, turn_id="t", text="Yes.")]
        finally:
            closed.set()

    reading = batches_for(endless(), reasoning=False, heartbeat_interval=1)
    await anext(reading)
    await reading.aclose()
    assert closed.is_set()
