"""The look of log lines: one JSON object each on Azure, readable here, the same fields in both."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Literal

import pytest
from opentelemetry import trace

from api import request_log as observe
from observability import log_context, logs, safe_logging, spans
from settings import Settings
from tests.support.collected import Collected
from tests.support.settings import AZURE

logger = logging.getLogger("some.library")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    fields = log_context._fields.set({})
    before = logging.getLogRecordFactory(), root.level, [(handler, handler.formatter) for handler in root.handlers]
    yield
    log_context._fields.reset(fields)
    logging.setLogRecordFactory(before[0])
    root.setLevel(before[1])
    logging.getLogger(logs.REQUEST_LOGGER).setLevel(logging.NOTSET)
    root.handlers = [handler for handler, _ in before[2]]
    for handler, formatter in before[2]:
        handler.setFormatter(formatter)


def a_record(message: str, *args: object, extra: dict[str, object] | None = None, failed: bool = False) -> logging.LogRecord:
    safe_logging.install()
    error = sys.exc_info() if failed else None
    return logger.makeRecord("some.library", logging.WARNING, "f.py", 1, message, args, error, extra=extra)


@pytest.mark.parametrize(("level", "kept"), [("ERROR", "INFO"), ("DEBUG", "DEBUG")])
def test_request_lines_stay_whatever_else_is_left_out(level: Literal["ERROR", "DEBUG"], kept: str) -> None:
    logs.install(Settings(log_level=level))
    assert observe.logger.name == logs.REQUEST_LOGGER
    assert logging.getLevelName(observe.logger.getEffectiveLevel()) == kept
    assert logger.isEnabledFor(logging.INFO) is (level == "DEBUG")


def test_a_line_on_azure_is_one_json_object() -> None:
    log_context.bind(request_id="req-1", turn_id="turn-1")
    try:
        raise ValueError("MARKED")
    except ValueError:
        line = logs.JsonFormatter().format(a_record("it\nfailed for %s", "you\r", extra={"status": 500}, failed=True))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == "it\\nfailed for you\\r"
    assert (told["level"], told["logger"], told["status"]) == ("WARNING", "some.library", 500)
    assert (told["request_id"], told["turn_id"]) == ("req-1", "turn-1")
    assert told["time"].endswith("+00:00")
    assert "ValueError" in told["exception"]
    assert "MARKED" not in line
    assert set(told) == {"time", "level", "logger", "message", "status", "request_id", "turn_id", "exception"}


def test_a_line_names_its_trace(collected: Collected) -> None:
    with spans.span_of("asking", {}) as span:
        told = json.loads(logs.JsonFormatter().format(a_record("hello")))
    context = span.get_span_context()
    assert told["trace_id"] == trace.format_trace_id(context.trace_id)
    assert told["span_id"] == trace.format_span_id(context.span_id)


def test_a_line_here_is_readable() -> None:
    log_context.bind(request_id="req-1", owner_hash="0" * 64)
    line = logs.TextFormatter().format(a_record("it failed", extra={"path": "a\nb", "status": 200}))
    assert re.fullmatch(r"[-\d]{10} [:\d]{8}\.\d{3} WARNING some\.library: .*", line)
    assert line.endswith(": it failed request_id=req-1 path=a\\nb status=200")


def test_lines_that_are_all_fields_are_sentences_here() -> None:
    fields: dict[str, object] = {"method": "GET", "path": "/api/threads", "status": 200, "duration_ms": 1.5, "thread_id": "t"}
    line = logs.TextFormatter().format(a_record("request", extra=fields))
    assert line.endswith(" some.library: GET /api/threads 200 in 1.5 ms thread_id=t")
    assert logs.TextFormatter().format(a_record("request")).endswith(": request")


def test_the_worker_keeps_its_handler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On Azure the worker's handler sends the lines to the host."""
    for name, value in (AZURE | {"LOG_LEVEL": "ERROR"}).items():
        monkeypatch.setenv(name, value)
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger().handlers = [handler]
    logs.install(Settings())
    logger.warning("not this")
    logger.error("this")
    assert json.loads(capsys.readouterr().out)["message"] == "this"


def test_without_a_handler_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers = []
    logs.install(Settings())
    logger.info("hello")
    logging.getLogger("httpx2").info("MARKED")
    told = capsys.readouterr().err
    assert told.endswith("INFO    some.library: hello\n")
    assert "MARKED" not in told
