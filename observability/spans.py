"""Spans of our own, on the OpenTelemetry API alone. Nothing is recorded unless somebody collects it: see setup.py.

A span never holds an exception's text, which may quote a prompt, a request or a key: only ``error.type``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from errors import ChatError

tracer = trace.get_tracer("agent-chat-api")


def are_collected() -> bool:
    """Whether spans go anywhere."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def span_of(
    name: str,
    attributes: Mapping[str, AttributeValue],
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
) -> Iterator[Span]:
    """Record the body as a span, the parent of those within; its parent is in ``context``, or the current span."""
    if not are_collected():
        yield trace.INVALID_SPAN
        return
    span = tracer.start_span(name, context, kind, attributes)
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except Exception as error:
            fail(span, error_type(error))
            raise


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def error_type(error: BaseException) -> str:
    """Return what metrics and spans show of an error: its problem type, or the name of its class."""
    return error.type if isinstance(error, ChatError) else type(error).__qualname__
