"""What callers must not send, and what they are told: always a problem, never a 500."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

DEEP: list[Any] = []
for _ in range(20):
    DEEP = [DEEP]


def assert_problem(response: httpx2.Response, status: int, type: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == type
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["retryable"] is False
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


def assert_names(response: httpx2.Response, field: str) -> None:
    problem = assert_problem(response, 422, "validation_failed")
    assert field in [error["field"] for error in problem["errors"]], problem
    assert all(error["message"] for error in problem["errors"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.content"),
        ({"content": ""}, "body.content"),
        ({"content": " \n\t\u2003"}, "body.content"),
        ({"content": "x" * 32_001}, "body.content"),
        ({"content": 7}, "body.content"),
        ({"content": None}, "body.content"),
        ({"content": "a\0b"}, "body.content"),
        ({"content": "\ud800"}, "body.content"),
        ({"content": "x", "contents": "y"}, "body.contents"),
        ({"content": "x", "metadata": {str(n): n for n in range(17)}}, "body.metadata"),
        ({"content": "x", "metadata": {"k": "v" * 4096}}, "body.metadata"),
        ({"content": "x", "metadata": {"k": "a\0"}}, "body.metadata"),
        ({"content": "x", "metadata": {"a\0": 1}}, "body.metadata"),
        ({"content": "x", "metadata": {"k": DEEP}}, "body.metadata"),
        ({"content": "x", "metadata": {"k": 2**53}}, "body.metadata"),
        ({"content": "x", "metadata": []}, "body.metadata"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
    ],
)
async def test_a_bad_message_is_refused(api: httpx2.AsyncClient, thread_id: str, body: Any, field: str) -> None:
    response = await api.post(
        f"/api/threads/{thread_id}/messages",
        content=json.dumps(body).encode("ascii"),
        headers={"content-type": "application/json"},
    )
    assert_names(response, field)
    assert (await api.get(f"/api/threads/{thread_id}")).json()["message_count"] == 0


@pytest.mark.parametrize("value", ['"\\ud800"', '{"\\udfff": 1}', '["a", {"b": "\\ud800"}]'])
async def test_lone_surrogates_are_refused_in_metadata(api: httpx2.AsyncClient, value: str) -> None:
    body = f'{{"metadata": {{"k": {value}}}}}'
    response = await api.post("/api/threads", content=body, headers={"content-type": "application/json"})
    problem = assert_problem(response, 422, "validation_failed")
    assert problem["errors"][0]["field"].startswith("body.metadata")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'content': 'x'}",
        b'{"content": "x"} y',
        b'{"content": NaN}',
        b'{"content": "x", "metadata": {"k": Infinity}}',
        b'{"content": "x", "metadata": {"k": 1e999}}',
        b'{"content": "\xff"}',
        b'{"content": "x", "metadata": {"k": ' + b"1" * 5000 + b"}}",
        b"[" * 100_000,
    ],
)
async def test_what_is_not_json_is_refused(api: httpx2.AsyncClient, thread_id: str, body: bytes) -> None:
    path = f"/api/threads/{thread_id}/messages"
    response = await api.post(path, content=body, headers={"content-type": "application/json"})
    assert_names(response, "body")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"])
async def test_other_content_types_are_refused(api: httpx2.AsyncClient, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert_problem(await api.post("/api/threads", content=b"{}", headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/Vnd.Api+JSON"])
async def test_json_content_types_are_taken(api: httpx2.AsyncClient, content_type: str) -> None:
    response = await api.post("/api/threads", content=b"{}", headers={"content-type": content_type})
    assert response.status_code == 201


async def test_a_body_over_256_kb_is_refused(api: httpx2.AsyncClient) -> None:
    body = b'{"title": "' + b"x" * 256 * 1024 + b'"}'
    response = await api.post("/api/threads", content=body, headers={"content-type": "application/json"})
    assert_problem(response, 413, "body_too_large")


async def test_a_chunked_body_is_refused_while_it_is_read(api: httpx2.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 * 1024 * 1024:
            sent += 16 * 1024
            yield b" " * 16 * 1024

    try:
        response = await api.post("/api/threads", content=endless(), headers={"content-type": "application/json"})
    except httpx2.TransportError:
        pass  # the server may close the connection before this client has read its answer
    else:
        assert_problem(response, 413, "body_too_large")
    assert sent < 32 * 1024 * 1024


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/threads?limit=0", "query.limit"),
        ("/api/threads?limit=-1", "query.limit"),
        ("/api/threads?limit=101", "query.limit"),
        ("/api/threads?limit=99999999999999999999999", "query.limit"),
        ("/api/threads?limit=ten", "query.limit"),
        ("/api/threads?status=deleted", "query.status"),
        ("/api/threads?cursor=%00", "query.cursor"),
        ("/api/threads?cursor=bm90IGEgY3Vyc29y", "query.cursor"),
        ("/api/threads?cursor=" + "A" * 201, "query.cursor"),
        ("/api/threads/{thread_id}/messages?limit=0", "query.limit"),
        ("/api/threads/{thread_id}/messages?limit=201", "query.limit"),
        ("/api/threads/{thread_id}/messages?order=up", "query.order"),
    ],
)
async def test_bad_parameters_are_named(api: httpx2.AsyncClient, thread_id: str, path: str, field: str) -> None:
    assert_names(await api.get(path.replace("{thread_id}", thread_id)), field)


@pytest.mark.parametrize("side", ["after", "before"])
@pytest.mark.parametrize(
    "id", ["", "1", "%00", "msg_0_1", "msg_" + "0" * 32 + "_1", "msg_" + "0" * 32 + "_99999999999999999999"]
)
async def test_a_page_beside_no_message_of_the_thread_is_not_found(
    api: httpx2.AsyncClient, thread_id: str, side: str, id: str
) -> None:
    assert_problem(await api.get(f"/api/threads/{thread_id}/messages?{side}={id}"), 404, "message_not_found")
    assert_problem(await api.get(f"/api/threads/nothing/messages?{side}={id}"), 404, "thread_not_found")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schlüssel"])
async def test_a_bad_idempotency_key_is_refused(api: httpx2.AsyncClient, thread_id: str, key: str) -> None:
    response = await api.post(
        f"/api/threads/{thread_id}/messages",
        json={"content": "hi"},
        headers={b"Idempotency-Key": key.encode()},
    )
    assert_names(response, "header.idempotency-key")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"status": "deleted"}, "body.status"),
        ({"title": ""}, "body.title"),
        ({"title": "x" * 201}, "body.title"),
        ({"metadata": None}, "body.metadata"),
        ({"id": "thread_1"}, "body.id"),
    ],
)
async def test_a_bad_change_is_refused(api: httpx2.AsyncClient, thread_id: str, body: Any, field: str) -> None:
    assert_names(await api.patch(f"/api/threads/{thread_id}", json=body), field)


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/threads/", "/api/threads/a/b/c", "//api/threads"])
async def test_unknown_addresses_are_problems(api: httpx2.AsyncClient, path: str) -> None:
    assert_problem(await api.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/threads", "GET, POST"),
        ("POST", "/api/threads/{thread_id}", "DELETE, GET, PATCH"),
        ("DELETE", "/api/threads/{thread_id}/messages", "GET, POST"),
        ("POST", "/api/health", "GET"),
    ],
)
async def test_wrong_methods_name_the_right_ones(
    api: httpx2.AsyncClient, thread_id: str, method: str, path: str, allow: str
) -> None:
    response = await api.request(method, path.replace("{thread_id}", thread_id))
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("given", ["abc-123", "a" * 128])
async def test_a_sane_request_id_is_kept(api: httpx2.AsyncClient, given: str) -> None:
    response = await api.get("/api/health", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "<script>"])
async def test_any_other_request_id_is_replaced(api: httpx2.AsyncClient, given: str) -> None:
    response = await api.get("/api/health", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("value", ["José", "日本"])
async def test_a_header_that_is_not_ascii_is_refused(api: httpx2.AsyncClient, value: str) -> None:
    response = await api.get("/api/threads", headers=[(b"X-User-Id", value.encode())])
    assert_names(response, "header.x-user-id")


async def test_a_cookie_of_somebody_elses_is_nobodys_business(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/api/threads", headers=[(b"Cookie", "name=José".encode())])).status_code == 200


ODD_IDS = [
    *("1", "thread_XYZ", "thread_%00", "thread_" + "0" * 32 + "%0A", "a" * 2000),
    *("%27%20OR%201=1--", "..%5C..", "caf%C3%A9", "%FF"),
]


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_an_id_that_names_nothing_is_not_found_whatever_its_shape(
    api: httpx2.AsyncClient, thread_id: str, odd: str
) -> None:
    thread, erasure = f"/api/threads/{thread_id}", f"/api/data/erasures/{odd}"
    for method, path, type in [
        ("GET", f"/api/threads/{odd}", "thread_not_found"),
        ("PATCH", f"/api/threads/{odd}", "thread_not_found"),
        ("DELETE", f"/api/threads/{odd}", "thread_not_found"),
        ("GET", f"/api/threads/{odd}/messages", "thread_not_found"),
        ("POST", f"/api/threads/{odd}/messages", "thread_not_found"),
        ("GET", f"{thread}/turns/{odd}", "turn_not_found"),
        ("GET", f"{thread}/turns/{odd}/events", "turn_not_found"),
        ("POST", f"{thread}/turns/{odd}/cancel", "turn_not_found"),
        ("DELETE", f"{thread}/messages/{odd}/feedback", "message_not_found"),
        ("GET", erasure, "erasure_not_found"),
    ]:
        body = {"PATCH": {"title": "x"}, "POST": {"content": "x"} if path.endswith("messages") else None}.get(method)
        response = await api.request(method, path, json=body)
        assert (response.status_code, response.json()["type"]) == (404, type), (method, path)
