"""What a collector gets of a function app: everything hangs under the host's invocations, also what outlives them."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from tests.fakes.functions_host import FunctionsHost, needs_runtime, start_host
from tests.support.collected import Collected
from tests.support.events import SSE

pytestmark = needs_runtime
ROOT = Path(__file__).parents[2]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def host(collected: Collected, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FunctionsHost]:
    """The function app with the setting that lets the runtime hand the invocation's context over."""
    for name in ("AZURE_OPENAI_ENDPOINT", "OPENAI_API_KEY", "OPENAI_BASE_URL", "COSMOS_ENDPOINT", "WEBSITE_SITE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RETENTION_DAYS", "30")
    monkeypatch.setenv("PYTHON_ENABLE_OPENTELEMETRY", "true")
    manager = importlib.import_module("azure_functions_runtime.otel").otel_manager
    monkeypatch.setattr(manager, "_otel_libs_available", manager.get_otel_libs_available())
    async with start_host(ROOT, "function_app.py") as host:
        yield host


def place(span: ReadableSpan) -> tuple[str, str]:
    """Return a span's trace and its parent."""
    assert span.context
    assert span.parent
    return trace.format_trace_id(span.context.trace_id), trace.format_span_id(span.parent.span_id)


@pytest.mark.parametrize("headers", [SSE, {"Prefer": "respond-async"}, {}])
async def test_a_turn_hangs_under_its_invocation(collected: Collected, host: FunctionsHost, headers: dict[str, str]) -> None:
    async with httpx2.AsyncClient(transport=host, base_url="http://localhost", timeout=20) as client:
        thread = (await client.post("/api/threads", json={})).json()
        answer = await client.post(
            f"/api/threads/{thread['id']}/messages",
            json={"content": "What is 2 + 2?"},
            headers={**headers, "traceparent": CALLER, "X-Request-ID": "req-1"},
        )
        assert answer.status_code in (200, 202)
    await host.stop_worker()
    _, invocation_trace, invocation_span, _ = host.traceparents[-1].split("-")
    assert invocation_trace in CALLER
    turn = collected.span("chat.turn")
    assert place(turn) == (invocation_trace, invocation_span)
    for name in ("invoke_agent", "execute_tool"):
        assert place(collected.span(name))[0] == invocation_trace
    assert {place(span)[0] for span in collected.named("chat offline")} == {invocation_trace}
    assert [span for span in collected.spans if span.kind is SpanKind.SERVER] == []
    (line,) = [line for line in collected.lines("request") if line["request_id"] == "req-1"]
    assert line["path"] == "/api/threads/{thread_id}/messages"


async def test_the_timers_work_hangs_under_its_invocation(collected: Collected, host: FunctionsHost) -> None:
    assert (await host.fire("retention")).status == "Success"
    _, invocation_trace, invocation_span, _ = host.traceparents[-1].split("-")
    assert collected.spans
    assert {place(span) for span in collected.spans} == {(invocation_trace, invocation_span)}
