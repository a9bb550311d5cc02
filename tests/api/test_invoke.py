"""The endpoints for simple callers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
import sseclient

from errors import ThreadDeleting
from stores.sqlite.store import SqliteStore
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.api import api_with, in_background

MISSING = f"thread_{'0' * 32}"


async def history(api: httpx2.AsyncClient, thread_id: str) -> list[tuple[str, str]]:
    messages = (await api.get(f"/api/threads/{thread_id}/messages")).json()["messages"]
    return [(message["role"], message["content"]) for message in messages]


async def read_with_sseclient(api: httpx2.AsyncClient, body: dict[str, Any]) -> list[tuple[str, str]]:
    """Read a stream as the package's documentation shows it."""

    def read() -> list[tuple[str, str]]:
        # An iterable of chunks, whatever the package's annotation says.
        response: Any = requests.post(str(api.base_url.join("/api/stream")), json=body, stream=True, timeout=30)
        response.raise_for_status()
        return [(event.event, event.data) for event in sseclient.SSEClient(response).events()]

    return await asyncio.to_thread(read)


# invoke


async def test_invoke_answers_in_a_new_thread_and_goes_on_there(api: httpx2.AsyncClient) -> None:
    first = (await api.post("/api/invoke", json={"user_input": "What is 2 + 2?"})).json()
    assert first.keys() == {
        "final_answer",
        "status",
        "thread_id",
        "message_id",
        "turn_id",
        "tool_calls",
        "open_calls",
        "citations",
    }
    assert (first["final_answer"], first["tool_calls"][0]["result"]) == ("2 + 2 = 4", 4)
    again = (await api.post("/api/invoke", json={"user_input": "Tell me a joke", "thread_id": first["thread_id"]})).json()
    assert (again["thread_id"], again["tool_calls"]) == (first["thread_id"], [])
    assert await history(api, first["thread_id"]) == [
        ("user", "What is 2 + 2?"),
        ("assistant", "2 + 2 = 4"),
        ("user", "Tell me a joke"),
        ("assistant", again["final_answer"]),
    ]


@pytest.mark.parametrize("endpoint", ["invoke", "stream"])
@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"user_input": " "}, 422, "body.user_input"),
        ({"user_input": "x" * 32_001}, 422, "body.user_input"),
        ({}, 422, "body.user_input"),
        ({"user_input": "hi", "thread_id": "x" * 256}, 422, "body.thread_id"),
        ({"user_input": "hi", "thread_id": "a\nb"}, 422, "body.thread_id"),
        ({"user_input": "hi", "thread_id": " "}, 422, "body.thread_id"),
        ({"user_input": "hi", "thread_id": 7}, 422, "body.thread_id"),
        ({"user_input": "hi", "thread_id": "thread_x"}, 404, None),
        ({"user_input": "hi", "metadata": {}}, 422, "body.metadata"),
        ({"user_input": "hi", "thread_id": MISSING}, 404, None),
    ],
)
async def test_invoke_and_stream_refuse_bad_input(
    api: httpx2.AsyncClient, endpoint: str, body: dict[str, str], status: int, field: str | None
) -> None:
    response = await api.post(f"/api/{endpoint}", json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in response.json().get("errors", [])] == ([field] if field else [])
    assert (await api.get("/api/threads")).json()["threads"] == []


async def test_a_failing_model_is_invokes_problem(tmp_path: Path) -> None:
    async with FakeModel(Reply(status=429, headers={"retry-after": "20"})) as model, api_with(model, tmp_path) as (api, _):
        response = await api.post("/api/invoke", json={"user_input": "hi"})
        assert (response.status_code, response.json()["type"]) == (429, "model_throttled")
        assert response.headers["retry-after"] == "20"


# batch


async def test_a_batch_is_answered_in_order(api: httpx2.AsyncClient) -> None:
    questions = [f"What is {number} * 2?" for number in range(20)]
    answered = (await api.post("/api/batch", json={"questions": questions})).json()
    assert answered["answers"] == [f"{number} * 2 = {number * 2}" for number in range(20)]
    assert [result["tool_calls"][0]["result"] for result in answered["results"]] == [number * 2 for number in range(20)]
    assert len({result["thread_id"] for result in answered["results"]}) == 20


async def test_a_batch_in_a_thread_is_turns_of_it(api: httpx2.AsyncClient, thread_id: str) -> None:
    questions = ["Tide in Seattle?", "And in Tokyo?", "What is 2 + 2?"]
    answered = (await api.post("/api/batch", json={"questions": questions, "thread_id": thread_id})).json()
    assert [result["tool_calls"][0]["tool"] for result in answered["results"]] == ["get_tide", "get_tide", "calculate"]
    assert [content for _, content in await history(api, thread_id)] == [
        text for pair in zip(questions, answered["answers"], strict=True) for text in pair
    ]


@pytest.mark.parametrize("in_thread", [True, False])
async def test_a_question_that_fails_leaves_the_others_alone(tmp_path: Path, in_thread: bool) -> None:
    replies = [Reply(text="one"), Reply(status=401), Reply(text="three")]
    async with FakeModel(*replies) as model, api_with(model, tmp_path) as (api, path):
        body = {"questions": ["1", "2", "3"], **({"thread_id": path.split("/")[3]} if in_thread else {})}
        answered = (await api.post("/api/batch", json=body)).json()
    assert sorted(answered["answers"]) == ["", "one", "three"]
    for answer, result in zip(answered["answers"], answered["results"], strict=True):
        assert ("problem" in result) == (answer == "")
        assert ("message_id" in result) == (answer != "")
    [problem] = [result["problem"] for result in answered["results"] if "problem" in result]
    assert (problem["type"], problem["status"]) == ("model_misconfigured", 500)
    if in_thread:
        assert answered["answers"] == ["one", "", "three"]


async def test_independent_questions_are_asked_five_at_a_time(tmp_path: Path) -> None:
    now = most = 0
    gate = asyncio.Event()

    async def wait() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == 5:
            gate.set()
        await gate.wait()
        now -= 1

    async with FakeModel(Reply(text="yes", wait=wait)) as model, api_with(model, tmp_path) as (api, _):
        answered = (await api.post("/api/batch", json={"questions": ["?"] * 12})).json()
        assert answered["answers"] == ["yes"] * 12
    assert most == 5


async def test_a_batch_in_a_busy_thread_has_problems(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    async with FakeModel(Reply(text="yes", wait=wait)) as model, api_with(model, tmp_path) as (api, path):
        await in_background(api, path)
        body = {"questions": ["1", "2"], "thread_id": path.split("/")[3]}
        answered = (await api.post("/api/batch", json=body)).json()
        assert [result["problem"]["type"] for result in answered["results"]] == ["turn_in_progress"] * 2
        gate.set()


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"questions": []}, 422, "body.questions"),
        ({"questions": ["?"] * 21}, 422, "body.questions"),
        ({"questions": ["?", " "]}, 422, "body.questions.1"),
        ({"questions": "?"}, 422, "body.questions"),
        ({"questions": ["?"], "thread_id": "\u200b"}, 422, "body.thread_id"),
        ({"questions": ["?"], "thread_id": MISSING}, 404, None),
    ],
)
async def test_batch_refuses_bad_input(api: httpx2.AsyncClient, body: dict[str, Any], status: int, field: str | None) -> None:
    response = await api.post("/api/batch", json=body)
    assert response.status_code == status
    assert [error["field"] for error in response.json().get("errors", [])] == ([field] if field else [])


# stream


async def test_stream_is_read_by_sseclient(api: httpx2.AsyncClient) -> None:
    events = await read_with_sseclient(api, {"user_input": "Tide in Seattle? And how much is 15% of 80?"})
    names = [name for name, _ in events]
    assert names[0] == "metadata"
    assert names[1:5] in (["on_tool_start", "on_tool_end"] * 2, ["on_tool_start"] * 2 + ["on_tool_end"] * 2)
    assert set(names[5:-1]) == {"data"}
    assert names[-1] == "end"
    metadata = json.loads(events[0][1])
    text = "".join(data for name, data in events if name == "data")
    assert text == events[-1][1] == (await history(api, metadata["thread_id"]))[-1][1]
    assert "\n\n" in text
    started = [json.loads(data) for name, data in events if name == "on_tool_start"]
    ended = [json.loads(data) for name, data in events if name == "on_tool_end"]
    assert [(each["name"], each["arguments"]) for each in started] == [
        ("get_tide", {"place": "Seattle"}),
        ("calculate", {"expression": "80 * 0.15"}),
    ]
    assert {each["name"] for each in ended} == {"get_tide", "calculate"}
    turn = (await api.get(f"/api/threads/{metadata['thread_id']}/turns/{metadata['run_id']}")).json()
    assert (turn["status"], turn["message"]["content"]) == ("completed", text)


async def test_every_line_end_and_sign_survives_the_stream(tmp_path: Path) -> None:
    text = "a\r\nb\rc\n\nd\u2028e\u0085f\vg data: h\n: i\n\n"
    arguments = json.dumps({"expression": "1\u2028+\u00851"})
    replies = (Reply(calls=(Call("calculate", arguments),)), Reply(text=text))
    async with FakeModel(*replies) as model, api_with(model, tmp_path) as (api, _):
        events = await read_with_sseclient(api, {"user_input": "hi"})
    assert [name for name, _ in events] == ["metadata", "on_tool_start", "on_tool_end", "data", "data", "data", "data", "end"]
    assert json.loads(events[1][1])["arguments"] == {"expression": "1\u2028+\u00851"}
    assert events[-1][1] == "a\nb\nc\n\nd\ne\nf\ng data: h\n: i\n\n"
    assert "".join(data for name, data in events if name == "data") == events[-1][1]


async def test_a_failing_turn_ends_the_stream_with_its_problem(tmp_path: Path) -> None:
    replies = (Reply(text="I was about to", drop_after_pieces=3),)
    async with FakeModel(*replies) as model, api_with(model, tmp_path) as (api, _):
        events = await read_with_sseclient(api, {"user_input": "hi"})
    assert [name for name, _ in events] == ["metadata", "data", "data", "error"]
    assert json.loads(events[-1][1])["type"] == "model_unavailable"


async def test_an_answer_without_text_has_an_empty_end(tmp_path: Path) -> None:
    async with FakeModel(Reply(text="")) as model, api_with(model, tmp_path) as (api, _):
        assert (await read_with_sseclient(api, {"user_input": "hi"}))[-1] == ("end", "")


# Session ids of the caller's own


async def test_a_session_id_is_the_same_thread_in_every_form(api: httpx2.AsyncClient) -> None:
    session = {"thread_id": "customer 42 / ✓"}
    first = (await api.post("/api/invoke", json={"user_input": "What is 2 + 2?", **session})).json()
    assert first["thread_id"].startswith("thread_")
    streamed = await api.post("/api/stream", json={"user_input": "What is 2 + 3?", **session})
    assert first["thread_id"] in streamed.text
    batch = (await api.post("/api/batch", json={"questions": ["What is 2 + 4?"], **session})).json()
    assert [result["thread_id"] for result in batch["results"]] == [first["thread_id"]]
    thread = (await api.get(f"/api/threads/{first['thread_id']}")).json()
    assert (thread["external_id"], thread["message_count"]) == ("customer 42 / ✓", 6)
    assert (await api.post("/api/invoke", json={"user_input": "hi", "thread_id": first["thread_id"]})).status_code == 200


async def test_a_deleted_session_begins_empty_under_the_same_id(api: httpx2.AsyncClient) -> None:
    asked = {"user_input": "What is 2 + 2?", "thread_id": "s"}
    first = (await api.post("/api/invoke", json=asked)).json()
    assert (await api.delete(f"/api/threads/{first['thread_id']}")).status_code == 204
    again = (await api.post("/api/invoke", json=asked)).json()
    assert again["thread_id"] == first["thread_id"]
    assert (await api.get(f"/api/threads/{first['thread_id']}")).json()["message_count"] == 2


async def test_an_empty_session_id_is_as_if_left_out(api: httpx2.AsyncClient) -> None:
    made = [(await api.post("/api/invoke", json={"user_input": "hi", "thread_id": each})).json() for each in ("", "", None)]
    assert len({each["thread_id"] for each in made}) == 3
    thread = (await api.get(f"/api/threads/{made[0]['thread_id']}")).json()
    assert thread["external_id"] is None


async def test_a_session_whose_thread_is_being_deleted_is_a_conflict_for_a_moment(
    api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deleting(*_: object) -> None:
        raise ThreadDeleting("thread_" + "0" * 32)

    monkeypatch.setattr(SqliteStore, "open_session_thread", deleting)
    response = await api.post("/api/invoke", json={"user_input": "hi", "thread_id": "s"})
    assert (response.status_code, response.json()["type"], response.headers["retry-after"]) == (409, "thread_deleting", "1")
