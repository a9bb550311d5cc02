"""Telemetry of a real process, to a collector and to Application Insights over a socket; and what it costs when it is off."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.metrics import Instrument
from pydantic import ValidationError

from observability import metrics
from observability import setup as telemetry
from settings import Settings, SettingsError, load_settings
from tests.fakes.application_insights import KEY, FakeApplicationInsights
from tests.fakes.otlp import FakeCollector, attributes
from tests.support.events import SSE
from tests.support.local import ROOT, address_in, running

DOCUMENTATION = (ROOT / "docs" / "telemetry.md").read_text()
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
QUESTION = "MARKED: what is 2 + 2?"


async def use(data_dir: Path, **environment: str) -> tuple[str, float]:
    """Run a process with a streamed turn and a request that fails; return the turn's id, and the seconds that its end took."""
    async with running(data_dir, **environment) as (process, banner):
        async with httpx2.AsyncClient(base_url=address_in(banner), timeout=30) as client:
            thread = (await client.post("/api/threads", json={"title": QUESTION})).json()
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "req-1", **SSE}
            answer = await client.post(f"/api/threads/{thread['id']}/messages", json={"content": QUESTION}, headers=headers)
            assert "message.completed" in answer.text
            await client.get(f"/api/threads/thread_{'0' * 32}", headers={"X-API-Key": "MARKED"})
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 30)
        assert process.returncode in (0, -signal.SIGTERM)
        turn_id = answer.text.partition('"turn_id":"')[2].partition('"')[0]
        return turn_id, time.monotonic() - started


def azure_environment(insights: FakeApplicationInsights, folder: Path) -> dict[str, str]:
    return {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": insights.connection_string,
        # The exporter's own telemetry and remote configuration are Microsoft's, and not on this machine.
        "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
        "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
        "TMPDIR": str(folder),
    }


async def test_a_collector_gets_spans_metrics_and_logs(tmp_path: Path) -> None:
    async with FakeCollector() as collector:
        turn_id, seconds = await use(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert seconds < telemetry.FLUSH_SECONDS
    assert collector.service_names == {"agent-chat-api"}
    (turn,) = [span for span in collector.spans if span.name == "chat.turn"]
    assert turn.trace_id.hex() == TRACE
    told = attributes(turn)
    assert (told["chat.turn.id"], told["chat.turn.status"], told["chat.tool_calls"]) == (turn_id, "completed", 1)
    (request,) = [span for span in collector.spans if span.trace_id.hex() == TRACE and span.name.startswith("POST")]
    assert (request.parent_span_id.hex(), turn.parent_span_id) == (CALLER, request.span_id)
    within = {span.name for span in collector.spans if span.trace_id.hex() == TRACE}
    assert within >= {"invoke_agent chat", "chat offline", "execute_tool calculate", "write chat.db"}
    assert {"chat.turns", "chat.turn.duration", "gen_ai.client.token.usage", "db.client.operation.duration"} <= {
        metric.name for metric in collector.metrics
    }
    lines = [attributes(record) | {"trace": record.trace_id.hex()} for record in collector.logs]
    ours = [line for line in lines if line.get("request_id") == "req-1"]
    used, line = sorted(ours, key=lambda line: "path" in line)
    assert (line["path"], line["status"], line["trace"]) == ("/api/threads/{thread_id}/messages", 200, TRACE)
    assert (used["turn_status"], used["model_calls"], used["tools"][:9]) == ("completed", 2, "calculate")
    assert "MARKED" not in f"{collector.spans}{collector.metrics}{collector.logs}"


async def test_application_insights_gets_spans_metrics_and_logs(tmp_path: Path) -> None:
    async with FakeApplicationInsights() as insights, FakeCollector() as collector:
        environment = azure_environment(insights, tmp_path)
        turn_id, _ = await use(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **environment)
    assert insights.other_paths == []
    dependencies = insights.data("RemoteDependencyData")
    (turn,) = [each for each in dependencies if each["name"] == "chat.turn"]
    assert turn["tags"]["ai.operation.id"] == TRACE
    assert turn["tags"]["ai.cloud.role"] == "agent-chat-api"
    assert turn["properties"]["chat.turn.id"] == turn_id
    assert turn["properties"]["chat.turn.status"] == "completed"
    (request,) = [each for each in insights.data("RequestData") if each["tags"]["ai.operation.id"] == TRACE]
    assert (request["name"], request["responseCode"], request["success"]) == (
        "POST /api/threads/{thread_id}/messages",
        "200",
        True,
    )
    assert turn["tags"]["ai.operation.parentId"] == request["id"]
    assert request["tags"]["ai.operation.parentId"] == CALLER
    metrics = {point["name"] for each in insights.data("MetricData") for point in each["metrics"]}
    assert {"chat.turns", "chat.turn.duration", "gen_ai.client.token.usage", "db.client.operation.duration"} <= metrics
    lines = {each["message"]: each for each in insights.data("MessageData") if each["properties"].get("request_id") == "req-1"}
    assert {line["tags"]["ai.operation.id"] for line in lines.values()} == {TRACE}
    assert lines["request"]["properties"]["status"] == "200"
    assert lines["turn"]["properties"]["turn_status"] == "completed"
    assert "MARKED" not in json.dumps(insights.envelopes)
    # Both get everything.
    assert "chat.turn" in {span.name for span in collector.spans}
    assert "chat.turns" in {metric.name for metric in collector.metrics}
    assert collector.logs


async def test_a_refusal_is_not_reported_to_who_refuses(tmp_path: Path) -> None:
    """Or each export would make the next one, for ever."""
    async with FakeApplicationInsights(refuses=True) as insights:
        _, seconds = await use(tmp_path, **azure_environment(insights, tmp_path))
    assert 3 <= insights.attempts < 10
    # The exporter waits for itself when it is refused; the deadline ends that.
    assert seconds < telemetry.FLUSH_SECONDS + 5


@pytest.mark.parametrize("state", ["gone", "silent"])
async def test_a_collector_that_is_away_holds_nobody_up(tmp_path: Path, state: str) -> None:
    async with FakeCollector() as collector:
        url = "http://127.0.0.1:9" if state == "gone" else collector.url
        collector.hold = asyncio.Event()
        _, seconds = await use(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert seconds < telemetry.FLUSH_SECONDS + 5


async def test_the_operators_sampler_is_respected(tmp_path: Path) -> None:
    async with FakeCollector() as collector:
        await use(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off")
    assert collector.spans == []
    assert collector.metrics


async def test_without_a_destination_nothing_of_the_sdk_is_imported(tmp_path: Path) -> None:
    program = f"""
import asyncio, logging, sys
from pathlib import Path
from api.app import create_app
from settings import Settings

async def main():
    app = create_app(Settings(data_dir=Path({str(tmp_path)!r})))
    async with app.router.lifespan_context(app) as state:
        await state["services"].tools()

asyncio.run(main())
print(*(name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "azure.monitor"))))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, told.decode().split()) == (0, [])


def test_only_telemetry_imports_the_sdk() -> None:
    sources = [path for path in ROOT.rglob("*.py") if not {".venv", "node_modules", "tests"} & set(path.parts)]
    importers = [
        str(path.relative_to(ROOT))
        for path in sources
        if "opentelemetry.sdk" in path.read_text() or "azure.monitor" in path.read_text()
    ]
    assert importers == ["observability/setup.py"]


def test_the_documentation_lists_every_metric() -> None:
    documented = set(re.findall(r"^\| `([a-z_.]+)` \| (?:counter|histogram|up-down counter)", DOCUMENTATION, re.MULTILINE))
    instruments = [value for value in vars(metrics).values() if isinstance(value, Instrument)]
    assert documented == {instrument._name for instrument in instruments}  # type: ignore[attr-defined]


def test_the_documentation_names_what_spans_and_lines_have() -> None:
    told = set(re.findall(r"`([a-z_.]+)`", DOCUMENTATION))
    for path in ("observability/*.py", "api/request_log.py", "agent/*.py", "quotas/*.py", "turns/*.py", "stores/telemetry.py"):
        source = "\n".join(file.read_text() for file in ROOT.glob(path))
        names = set(re.findall(r'"((?:chat|gen_ai|db|http|url|error|azure\.cosmosdb)\.[a-z_.]+)"', source))
        assert names - {"http.response.start"} <= told, path


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("Authorization=AAD", True),
        ("ClientId=8a1c8b5e-0000-4000-8000-000000000001;Authorization=AAD", True),
        ("ClientId=me", False),
        ("Authorization=Key", False),
    ],
)
def test_an_identity_that_cannot_be_used_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, value: str, accepted: bool
) -> None:
    monkeypatch.setenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", value)
    if accepted:
        assert load_settings().applicationinsights_authentication_string == value
        return
    with pytest.raises(SettingsError, match="APPLICATIONINSIGHTS_AUTHENTICATION_STRING"):
        load_settings()


def test_a_destination_turns_telemetry_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(**fields: Any) -> Settings:
        return Settings.model_validate(fields)

    assert not settings().has_telemetry
    assert settings(otel_exporter_otlp_endpoint="http://localhost:4318").has_telemetry
    assert settings(applicationinsights_connection_string=f"InstrumentationKey={KEY}").has_telemetry
    with pytest.raises(ValidationError, match="must be a connection string"):
        settings(applicationinsights_connection_string="InstrumentationKey=x")
