"""What the stores' operations cost: a span and metrics for each, whatever the store.

Operations without a span around them, such as those of background work, have metrics only: a trace of one request tells
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from errors import ChatError, StoreError
from observability import metrics, spans, turn_usage

System = Literal["azure.cosmosdb", "sqlite"]


class StoreOperation:
    """One operation and the requests that it takes."""

    def __init__(self, system: System, name: str, collection: str) -> None:
        self._names = {"db.operation.name": name, "db.collection.name": collection}
        self.attributes: dict[str, AttributeValue] = {"db.system.name": system, **self._names}
        self.requests = 0
        self.charge = 0.0

    def answered(self, status: int, charge: float) -> None:
        """Count a request that was answered, and the request units that it has used."""
        self.requests += 1
        self.charge += charge
        metrics.store_requests.add(1, {**self._names, "http.response.status_code": status})

    def retried(self, error_type: str) -> None:
        """Count a request that is sent again because of an error."""
        metrics.store_retries.add(1, {"db.operation.name": self._names["db.operation.name"], "error.type": error_type})

    def ended(self, seconds: float, error_type: str | None) -> None:
        """Record what the whole operation took."""
        failure = {"error.type": error_type} if error_type else {}
        metrics.store_duration.record(seconds, {**self.attributes, **failure})
        # SQLite's operations are one request each, and not counted one by one.
        turn_usage.add_store_requests(self.requests or 1)
        if self.requests:
            metrics.store_charge.record(self.charge, self._names)


@contextmanager
def store_operation(
    system: System, name: str, collection: str, *, refusal: type[Exception] = ChatError
) -> Iterator[StoreOperation]:
    """Measure the body as one operation on a collection (a container, a database file).

    A ``refusal`` that is no :class:`~errors.StoreError` is an answer and no failure of the store.
    """
    operation = StoreOperation(system, name, collection)
    started = time.perf_counter()
    span: trace.Span = trace.INVALID_SPAN
    if trace.get_current_span().get_span_context().is_valid:
        span = spans.tracer.start_span(f"{name} {collection}", kind=SpanKind.CLIENT, attributes=operation.attributes)
    error_type = None
    try:
        yield operation
    except Exception as error:
        if isinstance(error, StoreError) or not isinstance(error, refusal):
            error_type = spans.error_type(error)
            spans.fail(span, error_type)
        raise
    finally:
        operation.ended(time.perf_counter() - started, error_type)
        if operation.requests:
            span.set_attribute("azure.cosmosdb.operation.request_charge", operation.charge)
            span.set_attribute("chat.store.requests", operation.requests)
        span.end()


def count_unknown(tools: Iterable[str]) -> None:
    """Count calls of these tools, whose process died: what they have done is not known."""
    for tool in tools:
        metrics.tool_decisions.add(1, {"gen_ai.tool.name": tool, "chat.tool.decision": "unknown"})
