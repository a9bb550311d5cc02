"""Feedback on answers as callers give it and take it back."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from models import MAX_COMMENT
from tests.support.collected import Collected


@pytest.fixture
async def answer(api: httpx2.AsyncClient, thread_id: str) -> dict[str, Any]:
    response = await api.post(f"/api/threads/{thread_id}/messages", json={"content": "What is 2 + 2?"})
    answer: dict[str, Any] = response.json()
    return answer


def address(message: dict[str, Any]) -> str:
    return f"/api/threads/{message['thread_id']}/messages/{message['id']}/feedback"


async def stored(api: httpx2.AsyncClient, message: dict[str, Any]) -> dict[str, Any]:
    messages = (await api.get(f"/api/threads/{message['thread_id']}/messages")).json()["messages"]
    found: dict[str, Any] = next(each for each in messages if each["id"] == message["id"])
    return found


async def test_feedback_is_given_changed_and_taken_back(api: httpx2.AsyncClient, answer: dict[str, Any]) -> None:
    assert "feedback" not in answer
    before = (await api.get(f"/api/threads/{answer['thread_id']}")).json()
    for body in ({"rating": "down", "comment": " Größe? "}, {"rating": "up"}, {"rating": "up", "comment": None}):
        response = await api.put(address(answer), json=body)
        assert response.status_code == 200
        rated = response.json()
        feedback = rated["feedback"]
        assert rated == {**answer, "feedback": feedback} == await stored(api, answer)
        assert (feedback["rating"], feedback["comment"]) == (body["rating"], (body.get("comment") or "").strip() or None)
        age = datetime.now(UTC) - datetime.fromisoformat(feedback["timestamp"])
        assert 0 <= age.total_seconds() < 30
    for _ in range(2):
        response = await api.delete(address(answer))
        assert (response.status_code, response.content) == (204, b"")
        assert await stored(api, answer) == answer
    assert (await api.get(f"/api/threads/{answer['thread_id']}")).json() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.rating"),
        ({"rating": "great"}, "body.rating"),
        ({"rating": "up", "stars": 5}, "body.stars"),
        ({"rating": "up", "comment": " "}, "body.comment"),
        ({"rating": "up", "comment": "x" * (MAX_COMMENT + 1)}, "body.comment"),
        ({"rating": "up", "comment": "\0"}, "body.comment"),
        ({"rating": "up", "comment": 7}, "body.comment"),
    ],
)
async def test_a_body_that_does_not_fit(
    api: httpx2.AsyncClient, answer: dict[str, Any], body: dict[str, Any], field: str
) -> None:
    response = await api.put(address(answer), json=body)
    assert (response.status_code, response.json()["type"]) == (422, "validation_failed")
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert await stored(api, answer) == answer


async def test_the_longest_comment_fits(api: httpx2.AsyncClient, answer: dict[str, Any]) -> None:
    response = await api.put(address(answer), json={"rating": "up", "comment": "日" * MAX_COMMENT})
    assert response.json()["feedback"]["comment"] == "日" * MAX_COMMENT


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_cannot_be_rated(api: httpx2.AsyncClient, answer: dict[str, Any], method: str) -> None:
    body = {"rating": "up"} if method == "PUT" else None
    own = {**answer, "id": answer["id"].removesuffix("_2") + "_1"}
    missing = {**answer, "id": answer["id"].removesuffix("_2") + "_3"}
    nowhere = {**answer, "thread_id": f"thread_{'0' * 32}"}
    for message, status, type in (
        (own, 422, "not_an_answer"),
        (missing, 404, "message_not_found"),
        (nowhere, 404, "thread_not_found"),
        ({**answer, "id": "nonsense"}, 404, "message_not_found"),
    ):
        response = await api.request(method, address(message), json=body)
        assert (response.status_code, response.json()["type"]) == (status, type)
        assert response.headers["content-type"] == "application/problem+json"


async def test_feedback_is_exported(api: httpx2.AsyncClient, answer: dict[str, Any]) -> None:
    await api.put(address(answer), json={"rating": "down", "comment": "Wrong"})
    lines = [json.loads(line) for line in (await api.get("/api/export")).text.splitlines()]
    assert [line["message"].get("feedback", {}).get("comment") for line in lines if line["type"] == "message"] == [
        None,
        "Wrong",
    ]


async def test_the_log_tells_the_rating_and_no_content(
    api: httpx2.AsyncClient, answer: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="turns.feedback"):
        await api.put(address(answer), json={"rating": "down", "comment": "Secret"})
        await api.delete(address(answer))
    told = [record.getMessage() for record in caplog.records if record.name == "turns.feedback"]
    assert told == [f"feedback down on message {answer['id']}", f"feedback withdrawn from message {answer['id']}"]


async def test_ratings_are_counted(collected: Collected, api: httpx2.AsyncClient, answer: dict[str, Any]) -> None:
    for rating in ("up", "down", "up"):
        await api.put(address(answer), json={"rating": rating})
    assert collected.sum("chat.feedback", chat__feedback__rating="up") == 2
    assert collected.sum("chat.feedback", chat__feedback__rating="down") == 1
