"""What a deployment must do, against the real thing: ``BASE_URL=https://… CHAT_API_KEY=… python -m pytest tests/deploy``."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.deploy.waiting import START_SECONDS
from tests.support.events import SSE, sse_events

# Beside the wait for a start: three turns with a real model.
pytestmark = pytest.mark.timeout(START_SECONDS + 400)


async def questions(chat: httpx2.AsyncClient) -> list[tuple[str, list[Any]]]:
    """Return two questions that this assistant can answer, and what it is to calculate for each."""
    tools = {tool["name"] for tool in (await chat.get("/api/tools")).json()["tools"]}
    if "calculate" in tools:
        return [
            ("Use the calculator: what is 85 * 0.15?", [12.75]),
            ("Use the calculator: what is 1234 * 5678?", [1234 * 5678]),
        ]
    return [("What can you do for me?", []), ("Tell me more about that.", [])]


def calculated(message: dict[str, Any]) -> list[Any]:
    """Return the results of the calculations in an answer."""
    return [call["result"] for call in message["tool_calls"] if call["tool"] == "calculate"]


async def test_a_conversation_from_beginning_to_end(chat: httpx2.AsyncClient) -> None:
    (first, first_result), (second, second_result) = await questions(chat)
    created = await chat.post("/api/threads", json={"title": "Deployment test"})
    assert created.status_code == 201, created.text
    thread = created.headers["location"]
    try:
        answered = await chat.post(
            f"{thread}/messages",
            json={"content": first},
            headers={"Idempotency-Key": "deployment-test"},
        )
        assert answered.status_code == 200, answered.text
        assert answered.json()["status"] == "completed"
        assert calculated(answered.json()) == first_result

        body = {"content": second}
        async with chat.stream("POST", f"{thread}/messages", json=body, headers=SSE) as response:
            assert response.status_code == 200, await response.aread()
            events = [event async for event in sse_events(response)]
        assert events[0]["type"] == "turn.started"
        assert events[-1]["type"] == "message.completed", json.dumps(events[-1])
        assert [event["id"] for event in events] == sorted({event["id"] for event in events})
        streamed = events[-1]["message"]
        assert calculated(streamed) == second_result
        assert "".join(event["text"] for event in events if event["type"] == "message.delta") == streamed["content"]

        history = (await chat.get(f"{thread}/messages")).json()["messages"]
        assert [(each["seq"], each["role"], each["status"]) for each in history] == [
            (1, "user", "completed"),
            (2, "assistant", "completed"),
            (3, "user", "completed"),
            (4, "assistant", "completed"),
        ]
        assert history[3] == streamed
        listed = (await chat.get("/api/threads")).json()["threads"]
        assert created.json()["id"] in [each["id"] for each in listed]
    finally:
        deleted = await chat.delete(thread)
    assert deleted.status_code == 204, deleted.text
    assert (await chat.get(thread)).status_code == 404


async def test_nobody_gets_in_without_credentials(chat: httpx2.AsyncClient) -> None:
    for name in ("x-api-key", "authorization"):
        chat.headers.pop(name, None)
    assert (await chat.get("/api/threads")).status_code == 401
    assert (await chat.get("/api/health")).json() == {"status": "ok"}
