"""What is told of every request: one log line, and a span unless the host has made one."""

from __future__ import annotations

import logging
import re
import time
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models import THREAD_ID_PATTERN, TURN_ID_PATTERN
from observability import log_context, spans

# For FastAPI's own telemetry, which would record each request once more.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
# Asked every few seconds by those who watch the service.
PROBES = ("/api/health", "/api/ready")
# What proxies log for a caller who left before there was an answer.
CLIENT_LEFT = 499
PAGE_FILES = "/web/"
PATH_IDS = (("thread_id", THREAD_ID_PATTERN), ("turn_id", TURN_ID_PATTERN))
logger = logging.getLogger(__name__)
propagator = TraceContextTextMapPropagator()


class RequestLogMiddleware:
    """Logs each request when it has been answered to the end, and gives it a span under the caller's ``traceparent``.

    On Azure the host has a span for it already, the current one here. Probes get no span, and a line only when they find
    something wrong (or at DEBUG).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_probe = scope["path"] in PROBES
        if is_probe or not spans.are_collected() or trace.get_current_span().get_span_context().is_valid:
            await self._logged(scope, receive, send, logging.DEBUG if is_probe else logging.INFO)
            return
        with spans.span_of(scope["method"], _attributes(scope), kind=SpanKind.SERVER, context=_context(scope)) as span:
            status = await self._logged(scope, receive, send, logging.INFO)
            _complete(span, scope, status)

    async def _logged(self, scope: Scope, receive: Receive, send: Send, level: int) -> int:
        started = time.perf_counter()
        status = CLIENT_LEFT

        async def send_noting_the_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_the_status)
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            if status >= 500:
                level = logging.WARNING
            elif scope["path"].startswith(PAGE_FILES):
                # Thirty for one page.
                level = logging.DEBUG
            fields = {"method": scope["method"], "path": route_of(scope), "status": status, "duration_ms": milliseconds}
            logger.log(level, "request", extra=fields)
        return status


def bind_path_ids(path_params: dict[str, Any]) -> None:
    """Let the lines of this request name its thread and its turn; what cannot be an id is left out."""
    for name, pattern in PATH_IDS:
        if re.match(pattern, id := str(path_params.get(name, ""))):
            log_context.bind(**{name: id})


def route_of(scope: Scope) -> str:
    """Return the template of the route that took a request, or ``unmatched``: other paths are the caller's own words."""
    path: str = getattr(scope.get("route"), "path", "unmatched")
    return path


def _context(scope: Scope) -> Context:
    return propagator.extract(Headers(scope=scope), context=Context())


def _attributes(scope: Scope) -> dict[str, str]:
    return {"http.request.method": scope["method"], "url.scheme": scope["scheme"]}


def _complete(span: Span, scope: Scope, status: int) -> None:
    """Add what is known only now, as the conventions name it: https://opentelemetry.io/docs/specs/semconv/http/http-spans/."""
    route = route_of(scope)
    span.update_name(f"{scope['method']} {route}")
    span.set_attributes({"http.route": route, "http.response.status_code": status})
    if status >= 500:
        spans.fail(span, str(status))
