"""The API as Azure Functions runs it: what the runtime finds in function_app.py, and calls through it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from api.app import create_app
from settings import Settings
from tests.fakes.functions_host import FunctionsHost, needs_runtime

pytestmark = needs_runtime
NAMES = [
    "create_thread",
    "delete_thread",
    "get_docs",
    "get_docs_file",
    "get_health",
    "get_openapi",
    "get_thread",
    "list_messages",
    "list_threads",
    "send_message",
    "update_thread",
    "zz_unknown_path",
]
MISSING = f"thread_{'0' * 32}"


async def test_runtime_finds_a_function_for_every_route(api: FunctionsHost) -> None:
    assert [function.name for function in api.functions] == NAMES
    assert {function.auth_level for function in api.functions} == {"ANONYMOUS"}


async def test_functions_take_the_paths_and_methods_of_the_openapi_document(api: FunctionsHost, tmp_path: Path) -> None:
    document = create_app(Settings(data_dir=tmp_path)).openapi()
    documented = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    served = {(f"/{function.route}", method) for function in api.functions for method in function.methods or ()}
    undocumented = {("/api/openapi.json", "GET"), ("/api/docs", "GET"), ("/api/docs/{file}", "GET")}
    assert served == documented | undocumented
    assert api.functions[-1].route == "api/{*path}"
    assert api.functions[-1].methods is None


async def test_each_request_counts_for_its_own_function(api: FunctionsHost, api_client: httpx2.AsyncClient) -> None:
    created = await api_client.post("/api/threads", json={"title": "Trip"})
    assert created.status_code == 201
    thread = created.json()
    path = created.headers["location"]
    assert (await api_client.get(path)).json() == thread
    assert (await api_client.patch(path, json={"title": "Journey"})).json()["title"] == "Journey"
    assert [item["id"] for item in (await api_client.get("/api/threads")).json()["threads"]] == [thread["id"]]
    assert (await api_client.get(f"{path}/messages")).json() == {"messages": [], "next_cursor": None}
    assert (await api_client.delete(path)).status_code == 204
    assert (await api_client.get("/api/health")).status_code == 200
    assert "openapi" in (await api_client.get("/api/openapi.json")).json()
    assert "swagger-ui" in (await api_client.get("/api/docs")).text
    assert (await api_client.get("/api/docs/start.js")).status_code == 200
    assert [name for name, _ in api.invocations] == [
        "create_thread",
        "get_thread",
        "update_thread",
        "list_threads",
        "list_messages",
        "delete_thread",
        "get_health",
        "get_openapi",
        "get_docs",
        "get_docs_file",
    ]
    assert {result.status for _, result in api.invocations} == {"Success"}


async def test_agent_answers_a_message(api_client: httpx2.AsyncClient) -> None:
    thread = (await api_client.post("/api/threads", json={})).json()
    answer = await api_client.post(f"/api/threads/{thread['id']}/messages", json={"content": "What is a 15% tip on $85?"})
    assert answer.status_code == 200
    assert answer.json()["role"] == "assistant"
    assert "12.75" in answer.json()["content"]


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", f"/api/threads/{MISSING}", 404, "thread_not_found"),
        ("GET", "/api/threads/other", 422, "validation_failed"),
        ("GET", "/api/nothing/here", 404, "not_found"),
        ("GET", "/api/", 404, "not_found"),
        ("PUT", "/api/threads", 405, "method_not_allowed"),
        ("HEAD", "/api/threads", 405, None),
        ("OPTIONS", "/api/threads", 405, "method_not_allowed"),
    ],
)
async def test_errors_are_the_apis_own(
    api_client: httpx2.AsyncClient, method: str, path: str, status: int, slug: str | None
) -> None:
    answer = await api_client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    if slug:
        assert answer.json()["type"] == slug
    if status == 405:
        assert answer.headers["allow"] == "GET, POST"


async def test_body_that_is_too_large_is_refused(api_client: httpx2.AsyncClient) -> None:
    answer = await api_client.post("/api/threads", content=b" " * 257 * 1024, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "body_too_large")


async def test_endless_body_is_not_read(api_client: httpx2.AsyncClient) -> None:
    pieces = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal pieces
        for pieces in range(4096):  # noqa: B007 - read outside
            yield b" " * 16 * 1024

    # The server closes the connection; a client that is still sending may not see the answer.
    with contextlib.suppress(httpx2.TransportError):
        answer = await api_client.post("/api/threads", content=body(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    assert pieces < 4095
