"""The fuzzer's check of responses: it passes what the API answers, and finds whatever is not as described."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from schemathesis import HookContext
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.schemas import APIOperation
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import create_app
from settings import Settings
from tests.programs.fuzz import __main__ as fuzz
from tests.programs.fuzz.document import make_strict, strict
from tests.programs.fuzz.hooks import filter_body
from tests.support.events import SSE
from tests.support.server import serve, serve_api

QUESTION = {"content": "What is a 15% tip on $85?"}
Fault = Callable[[dict[str, Any]], object]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with serve_api(Settings(data_dir=tmp_path)) as client:
        yield client


async def answered(api: httpx2.AsyncClient) -> dict[str, Any]:
    """Ask a question in a new thread, and return the answer."""
    thread = (await api.post("/api/threads", json={"metadata": {"a": [{"b": None}]}})).json()
    answer: dict[str, Any] = (await api.post(f"/api/threads/{thread['id']}/messages", json=QUESTION)).json()
    return answer


async def operation(api: httpx2.AsyncClient, path: str, method: str) -> APIOperation[Any, Any, Any, Any]:
    document = strict((await api.get("/api/openapi.json")).json())
    return schemathesis.openapi.from_dict(document)[path][method]


def changed(response: httpx2.Response, text: str) -> httpx2.Response:
    headers = {"content-type": response.headers["content-type"]}
    other = httpx2.Response(response.status_code, headers=headers, text=text, request=response.request)
    other.elapsed = response.elapsed
    return other


def is_refused(checked: APIOperation[Any, Any, Any, Any], response: httpx2.Response) -> bool:
    try:
        checked.validate_response(response)
    except (Failure, FailureGroup):
        return True
    return False


FAULTS: dict[str, Fault] = {
    "a field is missing": lambda turn: turn.pop("status"),
    "a field that may be null is missing": lambda turn: turn.pop("ended_at"),
    "a field is of another type": lambda turn: turn.update(started_at=1),
    "a field is not described": lambda turn: turn.update(surprise=1),
    "what is left out is null": lambda turn: turn.update(problem=None),
    "a kind is not one of those": lambda turn: turn.update(status="done"),
    "a field of what is within is missing": lambda turn: turn["message"].pop("tool_calls"),
    "a field of what is within a list is missing": lambda turn: turn["message"]["tool_calls"][0].pop("duration_ms"),
    "a field of what is within a list is of another type": lambda turn: turn["message"]["tool_calls"][0].update(arguments=[]),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_wrong_field_is_found(api: httpx2.AsyncClient, fault: Fault) -> None:
    answer = await answered(api)
    checked = await operation(api, "/api/threads/{thread_id}/turns/{turn_id}", "GET")
    response = await api.get(f"/api/threads/{answer['thread_id']}/turns/{answer['turn_id']}")
    assert not is_refused(checked, response)
    turn = response.json()
    fault(turn)
    assert is_refused(checked, changed(response, json.dumps(turn)))


async def test_a_wrong_field_of_a_problem_is_found(api: httpx2.AsyncClient) -> None:
    checked = await operation(api, "/api/threads", "POST")
    response = await api.post("/api/threads", json={"title": " "})
    assert response.status_code == 422
    assert not is_refused(checked, response)
    problem = {key: value for key, value in response.json().items() if key != "retryable"}
    assert is_refused(checked, changed(response, json.dumps(problem)))


async def test_a_wrong_field_of_an_event_is_found(api: httpx2.AsyncClient) -> None:
    thread = (await api.post("/api/threads", json={})).json()
    streamed = await api.post(f"/api/threads/{thread['id']}/messages", json=QUESTION, headers=SSE)
    turn_id = json.loads(streamed.text.partition("data: ")[2].partition("\n")[0])["turn_id"]
    checked = await operation(api, "/api/threads/{thread_id}/turns/{turn_id}/events", "GET")
    response = await api.get(f"/api/threads/{thread['id']}/turns/{turn_id}/events")
    assert not is_refused(checked, response)
    for found, other in (('"type":"tool.started"', '"type":"tool.called"'), ('"duration_ms"', '"duration"')):
        assert response.text.count(found) >= 1
        assert is_refused(checked, changed(response, response.text.replace(found, other)))


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize("metadata", [nested(8), nested(9), {"a": "b" * 4088}, {"a": "b" * 4089}, {}, {"a": [1, [2]]}])
async def test_only_metadata_that_is_taken_is_sent(api: httpx2.AsyncClient, metadata: dict[str, Any]) -> None:
    answer = await api.post("/api/threads", json={"metadata": metadata})
    assert filter_body(HookContext(), {"metadata": metadata}) == (answer.status_code == 201)


def without_field(app: ASGIApp, field: str) -> ASGIApp:
    """Wrap an app so that its answers lack a field."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_less(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name, value) for name, value in message["headers"] if name != b"content-length"]
            elif message["type"] == "http.response.body" and scope["path"] == "/api/health":
                body = json.loads(message["body"])
                body.pop(field, None)
                message["body"] = json.dumps(body).encode()
            await send(message)

        await app(scope, receive, send_less if scope["type"] == "http" else send)

    return wrapped


async def test_a_run_of_the_fuzzer_fails_for_a_wrong_field(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    make_strict(app)
    async with serve(app) as right, serve(without_field(app, "status")) as wrong:
        runs = [fuzz.run(f"{url}/api/openapi.json", ("--include-operation-id", "get_health"), 1, 1) for url in (right, wrong)]
        assert await asyncio.gather(*runs) == [0, 1]
