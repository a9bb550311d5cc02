"""How log lines look: JSON objects on Azure, sentences on this machine, which leave out no field but the owner's hash.

Beside time, level, logger and message, a line has the fields of :mod:`log_context`, those that its author gave as ``extra``,
and on Azure the trace that it belongs to. What a line may hold is decided in :mod:`safe_logging`. Collected logs
(:mod:`telemetry`) have the fields as attributes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from pydantic_core import to_json

from observability import safe_logging
from settings import Settings

# Of api.request_log, which this module must not import.
REQUEST_LOGGER = "api.request_log"
# Nobody reads 64 hex digits; who looks for an owner collects the lines.
OWNER_HASH = "owner_hash"
# How the lines that are all fields are put into words.
SENTENCES = {
    "request": "%(method)s %(path)s %(status)s in %(duration_ms)s ms",
    "turn": (
        "turn %(turn_status)s in %(duration_ms)s ms, %(model_calls)s model calls, %(input_tokens)s tokens in, "
        "%(output_tokens)s out, tools: %(tools)s, %(store_requests)s store requests"
    ),
}
FIELD = re.compile(r"%\((\w+)\)s")
STANDARD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", *safe_logging.EXCEPTION_FIELDS}


def install(settings: Settings) -> None:
    """Set the process's level and the look of its lines; on Azure they go where the worker has its handler."""
    safe_logging.install(exception_texts=settings.dev_mode)
    root = logging.getLogger()
    root.setLevel(settings.log_level)
    # Alerts and the workbook count requests by these lines, whatever else is logged.
    logging.getLogger(REQUEST_LOGGER).setLevel(min(root.level, logging.INFO))
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter() if settings.website_site_name else TextFormatter())


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **dict(fields_of(record)),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line |= {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
        if record.exc_text:
            line["exception"] = record.exc_text
        return to_json(line, fallback=str).decode()


class TextFormatter(logging.Formatter):
    """A line that people read: a sentence, then whose line it is; an exception follows on lines of its own."""

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """Return the line."""
        fields = {name: safe_logging.clean(str(value)) for name, value in fields_of(record) if name != OWNER_HASH}
        template = SENTENCES.get(record.message, "")
        told = FIELD.findall(template)
        if told and fields.keys() >= set(told):
            record.message = template % {name: fields.pop(name) or "none" for name in told}
        return super().formatMessage(record) + "".join(f" {name}={value}" for name, value in fields.items())


def fields_of(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """Yield a record's own fields."""
    return ((name, value) for name, value in vars(record).items() if name not in STANDARD_FIELDS)
