"""Messages and turns through the API, answered by the offline model with the tests' tools."""

import asyncio
from pathlib import Path

import httpx2
import pytest

from settings import Settings
from tests.fakes.model import FakeModel, Reply
from tests.support.server import serve_api


def tools_of(message: dict[str, object]) -> list[str]:
    calls = message["tool_calls"]
    assert isinstance(calls, list)
    return [call["tool"] for call in calls]


async def send(api: httpx2.AsyncClient, thread_id: str, content: str, **headers: str) -> httpx2.Response:
    return await api.post(f"/api/threads/{thread_id}/messages", json={"content": content}, headers=headers)


async def test_the_main_job(api: httpx2.AsyncClient, thread_id: str) -> None:
    response = await send(api, thread_id, "What is the tide in Seattle and what is a 15% tip on $85?")
    assert response.status_code == 200
    message = response.json()
    assert message["role"] == "assistant"
    assert message["thread_id"] == thread_id
    assert (message["seq"], message["status"]) == (2, "completed")
    assert message["metadata"]["model"] == "offline"
    assert message["metadata"]["usage"]["input_tokens"] > 0
    tide, tip = message["tool_calls"]
    assert tide["tool"] == "get_tide"
    assert "Seattle" in tide["arguments"]["place"]
    assert tide["result"]["state"] == "rising"
    assert tip["tool"] == "calculate"
    assert tip["result"] == 12.75
    assert isinstance(tip["duration_ms"], int)
    assert "error" not in tip
    assert "12.75" in message["content"]
    assert "rising" in message["content"]


@pytest.mark.parametrize(
    ("content", "tools"),
    [
        ("What is the tide in Tokyo?", ["get_tide"]),
        ("tide in Paris and what's 18% tip on €75?", ["get_tide", "calculate"]),
        ("Tell me a joke", []),
        ("I need help with my deposit", ["search_knowledge_base"]),
    ],
)
async def test_the_agent_picks_its_tools(api: httpx2.AsyncClient, thread_id: str, content: str, tools: list[str]) -> None:
    message = (await send(api, thread_id, content)).json()
    assert tools_of(message) == tools
    assert message["content"]
    if "calculate" in tools:
        assert message["tool_calls"][-1]["result"] == 13.5


async def test_a_failing_tool_is_an_error_in_the_answer(api: httpx2.AsyncClient, thread_id: str) -> None:
    message = (await send(api, thread_id, "What is 1 / 0?")).json()
    assert message["status"] == "completed"
    assert "zero" in message["tool_calls"][0]["error"]
    assert "result" not in message["tool_calls"][0]


async def test_the_history_is_read_in_pages_both_ways(api: httpx2.AsyncClient, thread_id: str) -> None:
    for number in range(3):
        await send(api, thread_id, f"What is {number} + 1?")
    path = f"/api/threads/{thread_id}/messages"
    everything = (await api.get(path)).json()
    assert [message["seq"] for message in everything["messages"]] == [1, 2, 3, 4, 5, 6]
    assert [message["role"] for message in everything["messages"]] == ["user", "assistant"] * 3
    assert everything["next_cursor"] is None

    first = (await api.get(path, params={"limit": 4})).json()
    rest = (await api.get(path, params={"limit": 4, "after": first["next_cursor"]})).json()
    assert first["messages"] + rest["messages"] == everything["messages"]
    newest = (await api.get(path, params={"limit": 4, "order": "desc"})).json()
    oldest = (await api.get(path, params={"limit": 4, "order": "desc", "before": newest["next_cursor"]})).json()
    assert newest["messages"] + oldest["messages"] == everything["messages"][::-1]

    thread = (await api.get(f"/api/threads/{thread_id}")).json()
    assert thread["message_count"] == 6
    assert thread["last_message_preview"] == everything["messages"][-1]["content"]


async def test_a_retry_with_the_same_key_is_answered_once(api: httpx2.AsyncClient, thread_id: str) -> None:
    first = await send(api, thread_id, "Tell me a joke", **{"Idempotency-Key": "k1"})
    assert "idempotent-replayed" not in first.headers
    again = await send(api, thread_id, "Tell me a joke", **{"Idempotency-Key": "k1"})
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert (await api.get(f"/api/threads/{thread_id}")).json()["message_count"] == 2

    other = await send(api, thread_id, "Tell me another joke", **{"Idempotency-Key": "k1"})
    assert other.status_code == 422
    assert other.json()["type"] == "idempotency_key_reused"


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    async with serve_api(settings) as api:
        thread = (await api.post("/api/threads", json={"title": "Trip"})).json()
        await send(api, thread["id"], "Tell me a joke")
        before = (await api.get(f"/api/threads/{thread['id']}/messages")).json()
    async with serve_api(settings) as api:
        assert (await api.get(f"/api/threads/{thread['id']}/messages")).json() == before
        assert [row["id"] for row in (await api.get("/api/threads")).json()["threads"]] == [thread["id"]]


async def test_of_many_messages_at_once_one_is_answered(api: httpx2.AsyncClient, thread_id: str) -> None:
    responses = await asyncio.gather(*(send(api, thread_id, "Tell me a joke") for _ in range(10)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses[0] == 200
    assert set(statuses) <= {200, 409}
    for response in responses:
        if response.status_code == 409:
            assert response.json()["type"] == "turn_in_progress"
            assert int(response.headers["retry-after"]) >= 1
    count = (await api.get(f"/api/threads/{thread_id}")).json()["message_count"]
    assert count == 2 * statuses.count(200)


class Gate:
    """Holds the model's answer back until the test lets it go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


async def test_a_caller_who_hangs_up_does_not_stop_the_turn(tmp_path: Path) -> None:
    gate = Gate()
    async with FakeModel(Reply(text="Here I am.", wait=gate)) as model:
        settings = Settings(data_dir=tmp_path, openai_base_url=f"{model.url}/v1", openai_model="gpt-x")
        async with serve_api(settings) as api:
            thread = (await api.post("/api/threads", json={})).json()
            caller = asyncio.create_task(send(api, thread["id"], "Are you there?", **{"Idempotency-Key": "k"}))
            await gate.reached.wait()
            assert (await send(api, thread["id"], "Hello?")).json()["type"] == "turn_in_progress"
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)
            gate.opened.set()
            answer = await send(api, thread["id"], "Are you there?", **{"Idempotency-Key": "k"})
            while answer.status_code == 409:
                answer = await send(api, thread["id"], "Are you there?", **{"Idempotency-Key": "k"})
            assert answer.json()["content"] == "Here I am."
            assert answer.headers["idempotent-replayed"] == "true"
            assert len(model.requests) == 1


async def test_a_failing_model_is_a_problem_and_the_message_is_kept(tmp_path: Path) -> None:
    async with FakeModel(Reply(status=429, headers={"retry-after": "20"}), Reply(text="Better now.")) as model:
        settings = Settings(data_dir=tmp_path, openai_base_url=f"{model.url}/v1", openai_model="gpt-x")
        async with serve_api(settings) as api:
            thread = (await api.post("/api/threads", json={})).json()
            failed = await send(api, thread["id"], "hi", **{"Idempotency-Key": "k", "X-Request-ID": "mine"})
            assert (failed.status_code, failed.headers["retry-after"]) == (429, "20")
            problem = failed.json()
            assert (problem["type"], problem["retryable"], problem["request_id"]) == ("model_throttled", True, "mine")
            [message] = (await api.get(f"/api/threads/{thread['id']}/messages")).json()["messages"]
            assert (message["status"], message["problem"]) == ("failed", problem)
            again = await send(api, thread["id"], "hi", **{"Idempotency-Key": "k"})
            assert again.json()["content"] == "Better now."
            messages = (await api.get(f"/api/threads/{thread['id']}/messages")).json()["messages"]
            assert [(m["seq"], m["status"]) for m in messages] == [(1, "completed"), (2, "completed")]
            assert "problem" not in messages[0]


@pytest.mark.parametrize(
    ("question", "chosen"), [("Tide in Oslo?", ("imperial", "ft")), ("Tide in Oslo in metres?", ("metric", "m"))]
)
async def test_metadata_chooses_units_unless_the_question_does(
    api: httpx2.AsyncClient, thread_id: str, question: str, chosen: tuple[str, str]
) -> None:
    body = {"content": question, "metadata": {"units": "imperial"}}
    answer = (await api.post(f"/api/threads/{thread_id}/messages", json=body)).json()
    (call,) = answer["tool_calls"]
    assert (call["arguments"]["units"], call["result"]["unit"]) == chosen
