"""An OpenTelemetry collector: takes OTLP as protobuf over HTTP and keeps what it gets.

In a test :class:`FakeCollector` runs in the test's event loop; as a program (``python -m tests.fakes.otlp PORT``) it takes
everything and keeps nothing, for benchmarks. Written from https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

MEDIA_TYPE = "application/x-protobuf"


class FakeCollector:
    """The collector. ``hold`` keeps it from answering until it is set."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: list[Metric] = []
        self.logs: list[LogRecord] = []
        self.service_names: set[str] = set()
        self.hold: asyncio.Event | None = None
        self.url: str

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/traces", self._traces)
        app.router.add_post("/v1/metrics", self._metrics)
        app.router.add_post("/v1/logs", self._logs)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.hold:
            self.hold.set()
        await self._runner.cleanup()

    async def _traces(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await self._body(request))
        for resource in message.resource_spans:
            self.service_names.add(attributes(resource.resource)["service.name"])
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return _answer(ExportTraceServiceResponse())

    async def _metrics(self, request: web.Request) -> web.Response:
        message = ExportMetricsServiceRequest.FromString(await self._body(request))
        for resource in message.resource_metrics:
            self.metrics += [metric for scope in resource.scope_metrics for metric in scope.metrics]
        return _answer(ExportMetricsServiceResponse())

    async def _logs(self, request: web.Request) -> web.Response:
        message = ExportLogsServiceRequest.FromString(await self._body(request))
        for resource in message.resource_logs:
            self.logs += [record for scope in resource.scope_logs for record in scope.log_records]
        return _answer(ExportLogsServiceResponse())

    async def _body(self, request: web.Request) -> bytes:
        assert request.content_type == MEDIA_TYPE
        if self.hold:
            await self.hold.wait()
        return await request.read()


def attributes(owner: Any) -> dict[str, Any]:
    """Return the attributes of a span, a log record, a metric's point or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in owner.attributes}


def _answer(message: Any) -> web.Response:
    return web.Response(body=message.SerializeToString(), content_type=MEDIA_TYPE)


async def _take(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(content_type=MEDIA_TYPE)


if __name__ == "__main__":
    program = web.Application()
    program.router.add_post("/v1/{signal}", _take)
    web.run_app(program, host="127.0.0.1", port=int(sys.argv[1]), print=None)
