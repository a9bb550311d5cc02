"""Everything that this process would send to a collector, in memory.

OpenTelemetry's providers can be set once a process: they are made for the first test that asks and stay. What a test sees is
what has come since it began; other tests of the process only add to what nobody looks at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@dataclass(frozen=True)
class Point:
    """What a metric has counted: the sum, and of a histogram also how many values."""

    name: str
    attributes: dict[str, Any]
    sum: float
    count: int


class Spans(InMemorySpanExporter):
    """Keeps spans only while a test collects: other tests count the memory that they use."""

    collecting = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return super().export(spans) if self.collecting else SpanExportResult.SUCCESS


class Pipeline(NamedTuple):
    """The process's providers."""

    spans: Spans
    metrics: InMemoryMetricReader
    logs: InMemoryLogRecordExporter
    handler: LoggingHandler


@cache
def pipeline() -> Pipeline:
    spans = Spans()
    logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # it comes without
    reader = InMemoryMetricReader(dict.fromkeys((Counter, Histogram, UpDownCounter), AggregationTemporality.DELTA))
    tracer_provider, logger_provider = TracerProvider(), LoggerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    set_logger_provider(logger_provider)
    return Pipeline(spans, reader, logs, LoggingHandler(logger_provider=logger_provider))


class Collected:
    """What has been collected since the test began."""

    def __init__(self, source: Pipeline) -> None:
        self._source = source
        self._points: list[Point] = []

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended."""
        return list(self._source.spans.get_finished_spans())

    def named(self, start: str) -> list[ReadableSpan]:
        """Return the spans whose names begin so."""
        return [span for span in self.spans if span.name.startswith(start)]

    def span(self, start: str) -> ReadableSpan:
        """Return the only span whose name begins so."""
        (span,) = self.named(start)
        return span

    def points(self, name: str, **attributes: Any) -> list[Point]:
        """Return what a metric has counted, with these attributes (dots as ``__``)."""
        self._read()
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [point for point in self._points if point.name == name and wanted.items() <= point.attributes.items()]

    def sum(self, name: str, **attributes: Any) -> float:
        """Return a metric's sum."""
        return sum(point.sum for point in self.points(name, **attributes))

    def count(self, name: str, **attributes: Any) -> int:
        """Return how many values a histogram has got."""
        return sum(point.count for point in self.points(name, **attributes))

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Return the attributes of the log records with a message."""
        records = [each.log_record for each in self._source.logs.get_finished_logs()]
        return [dict(record.attributes or {}) for record in records if record.body == message]

    def everything(self) -> str:
        """Return all of it as text."""
        self._read()
        spans = [span.to_json() for span in self.spans]
        logs = [each.to_json() for each in self._source.logs.get_finished_logs()]
        return "\n".join([*spans, *logs, *map(repr, self._points)])

    def _read(self) -> None:
        data = self._source.metrics.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        value: Any = point
                        total = value.sum if hasattr(value, "sum") else value.value
                        count = getattr(value, "count", 1)
                        self._points.append(Point(metric.name, dict(point.attributes or {}), total, count))


@contextmanager
def collecting() -> Iterator[Collected]:
    """Collect from now on."""
    source = pipeline()
    root = logging.getLogger()
    level = root.level
    root.addHandler(source.handler)
    root.setLevel(logging.DEBUG)
    source.metrics.get_metrics_data()
    source.spans.clear()
    source.logs.clear()
    source.spans.collecting = True
    try:
        yield Collected(source)
    finally:
        source.spans.collecting = False
        source.spans.clear()
        root.setLevel(level)
        root.removeHandler(source.handler)
