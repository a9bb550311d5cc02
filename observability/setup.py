"""Where spans, metrics and logs go: Application Insights, an OTLP collector, both, or nowhere.

The only importer of OpenTelemetry's SDK, which is not imported at all where nothing is to be sent. Everything else uses the API
on the global providers: ``spans``, ``metrics``, the agent's framework, and ``logging`` through the root logger.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider

from observability import spans
from settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

FLUSH_SECONDS = 5.0
# What they would record is in our spans already, or must not be in any: addresses that quote a user's words.
INSTRUMENTATIONS_OFF = (
    "azure_sdk",
    "django",
    "fastapi",
    "flask",
    "httpx",
    "httpx2",
    "psycopg2",
    "requests",
    "urllib",
    "urllib3",
)
EXPORTERS = ("opentelemetry", "azure.monitor", "azure.core", "urllib3")
logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_telemetry(settings: Settings) -> AsyncIterator[None]:
    """Collect telemetry from now on, and send what is left at the end, for at most ``FLUSH_SECONDS``.

    The providers are the process's and stay: another start of the app in the same process goes on with them.
    """
    if not settings.has_telemetry:
        yield
        return
    if not spans.are_collected():
        await asyncio.to_thread(_set_up, settings)
    try:
        yield
    finally:
        await _flush()


def _set_up(settings: Settings) -> None:
    """Make the global providers; takes about half a second, most of it imports."""
    from opentelemetry.instrumentation.logging.handler import LoggingHandler

    # The SDKs read these themselves.
    os.environ.setdefault("OTEL_SERVICE_NAME", settings.website_site_name or "agent-chat-api")
    # Whole traces or none, as the caller or the host has decided: Azure Monitor's own default drops all but five a second.
    os.environ.setdefault("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    processors = _otlp() if settings.otel_exporter_otlp_endpoint else None
    if settings.applicationinsights_connection_string:
        _set_up_azure_monitor(settings.applicationinsights_connection_string.get_secret_value(), processors)
    elif processors:
        _set_up_providers(*processors)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LoggingHandler):
            handler.addFilter(_is_not_by_an_exporter)
    for provider in _providers():
        # The end of the process must not wait for a collector that is away; :func:`_flush` has a deadline.
        atexit.unregister(provider.shutdown)


def _otlp() -> tuple[SpanProcessor, MetricReader, LogRecordProcessor]:
    """Send to the collector at ``OTEL_EXPORTER_OTLP_ENDPOINT``, as protobuf over HTTP."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return (
        BatchSpanProcessor(OTLPSpanExporter()),
        PeriodicExportingMetricReader(OTLPMetricExporter()),
        BatchLogRecordProcessor(OTLPLogExporter()),
    )


def _set_up_azure_monitor(connection_string: str, also: tuple[SpanProcessor, MetricReader, LogRecordProcessor] | None) -> None:
    """Send to Application Insights, as the identity in ``APPLICATIONINSIGHTS_AUTHENTICATION_STRING`` if there is one."""
    from azure.monitor.opentelemetry import configure_azure_monitor

    span_processor, metric_reader, log_processor = also or (None, None, None)
    configure_azure_monitor(
        connection_string=connection_string,
        span_processors=[span_processor] if span_processor else [],
        metric_readers=[metric_reader] if metric_reader else [],
        log_record_processors=[log_processor] if log_processor else [],
        instrumentation_options={name: {"enabled": False} for name in INSTRUMENTATIONS_OFF},
        # The host has both of its own; these would cost a thread and some of every span.
        enable_live_metrics=False,
        enable_performance_counters=False,
    )


def _set_up_providers(span_processor: SpanProcessor, metric_reader: MetricReader, log_processor: LogRecordProcessor) -> None:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(span_processor)
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(MeterProvider([metric_reader]))
    logger_provider = LoggerProvider()
    logger_provider.add_log_record_processor(log_processor)
    set_logger_provider(logger_provider)
    logging.getLogger().addHandler(LoggingHandler(logger_provider=logger_provider))


def _is_not_by_an_exporter(record: logging.LogRecord) -> bool:
    """Keep back what exporters say, which would have to be exported too: a failed export would make the next one, for ever."""
    return not record.name.startswith(EXPORTERS)


def _providers() -> tuple[Any, Any, Any]:
    return trace.get_tracer_provider(), metrics.get_meter_provider(), get_logger_provider()


async def _flush() -> None:
    """Send what is left; each provider blocks a thread of its own, which is given up at the deadline."""
    waiting = [_in_daemon_thread(provider.force_flush) for provider in _providers()]
    _, late = await asyncio.wait(waiting, timeout=FLUSH_SECONDS)
    if late:
        logger.warning("the last telemetry could not be sent within %g seconds", FLUSH_SECONDS)


def _in_daemon_thread(work: Callable[[], object]) -> asyncio.Future[None]:
    """Run ``work`` where the process's end does not wait for it, as it would for the event loop's own threads."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def run() -> None:
        try:
            work()
        finally:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_set_done, done)

    threading.Thread(target=run, name="telemetry-flush", daemon=True).start()
    return done


def _set_done(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
