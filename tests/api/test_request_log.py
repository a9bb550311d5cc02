"""One span and one log line a request."""

from __future__ import annotations

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from tests.support.collected import Collected

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_a_requests_span_is_the_callers_child(collected: Collected, api: httpx2.AsyncClient) -> None:
    answer = await api.get("/api/threads", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    assert answer.status_code == 200
    span = collected.span("GET /api/threads")
    assert span.kind is SpanKind.SERVER
    assert span.context
    assert span.parent
    assert trace.format_trace_id(span.context.trace_id) == TRACE
    assert trace.format_span_id(span.parent.span_id) == CALLER
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/api/threads",
        "http.response.status_code": 200,
        "url.scheme": "http",
    }
    assert [each.parent and each.parent.span_id for each in collected.named("read chat.db")] == [span.context.span_id]


async def test_a_caller_who_records_nothing_is_respected(collected: Collected, api: httpx2.AsyncClient) -> None:
    await api.get("/api/threads", headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
    assert collected.spans == []
    assert collected.lines("request")


@pytest.mark.parametrize("wrong", ["", "garbage", f"00-{'0' * 32}-{CALLER}-01", f"ff-{TRACE}-{CALLER}-01"])
async def test_a_wrong_traceparent_begins_a_trace_of_its_own(collected: Collected, api: httpx2.AsyncClient, wrong: str) -> None:
    assert (await api.get("/api/info", headers={"traceparent": wrong})).status_code == 200
    assert collected.span("GET /api/info").parent is None


async def test_a_line_a_request(collected: Collected, api: httpx2.AsyncClient, thread_id: str) -> None:
    await api.get(f"/api/threads/{thread_id}", headers={"X-Request-ID": "req-7"})
    (line,) = [line for line in collected.lines("request") if line["request_id"] == "req-7"]
    assert 0 <= line.pop("duration_ms") < 30_000
    assert len(line.pop("owner_hash")) == 64
    assert line == {
        "request_id": "req-7",
        "thread_id": thread_id,
        "method": "GET",
        "path": "/api/threads/{thread_id}",
        "status": 200,
    }


async def test_what_the_caller_makes_up_is_not_repeated(collected: Collected, api: httpx2.AsyncClient) -> None:
    assert (await api.get("/api/MARKED?MARKED=1", headers={"X-Request-ID": "MARKED it"})).status_code == 404
    assert (await api.get("/api/threads/MARKED/turns/MARKED")).status_code == 404
    assert [line["path"] for line in collected.lines("request")] == ["unmatched", "/api/threads/{thread_id}/turns/{turn_id}"]
    assert collected.span("GET unmatched")
    assert "MARKED" not in collected.everything()


async def test_a_probe_leaves_no_trace(collected: Collected, api: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    assert (await api.get("/api/health")).status_code == 200
    assert collected.spans == []
    assert [record.levelname for record in caplog.records if record.message == "request"] == ["DEBUG"]


async def test_an_unexpected_error_marks_the_span(
    collected: Collected, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("MARKED")

    monkeypatch.setattr("stores.sqlite.store.SqliteStore.list_threads", fail)
    assert (await api.get("/api/threads")).status_code == 500
    span = collected.span("GET /api/threads")
    assert (span.attributes or {})["error.type"] == "500"
    assert span.events == ()
    (line,) = collected.lines("request failed unexpectedly")
    assert line["exception.type"] == "RuntimeError"
    assert "MARKED" not in collected.everything()
