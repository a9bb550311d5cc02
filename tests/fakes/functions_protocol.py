"""The messages between the Functions host and its worker, as far as the runtime looks at them.

Their fields: https://github.com/Azure/azure-functions-language-worker-protobuf.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2


class OneOf(SimpleNamespace):
    """A protobuf message of whose fields at most one is set."""

    def __init__(self, which: str | None = None, **fields: Any) -> None:
        super().__init__(**fields)
        self._which = which

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 - protobuf's name
        return self._which


class _Message(SimpleNamespace):
    """A protobuf message that the runtime makes."""


class _StatusResult(_Message):
    Success = "Success"
    Failure = "Failure"


class _BindingInfo(_Message):
    undefined = 0
    out = 1
    inout = 2


class _Protos:
    """The protobuf module of the worker that the runtime runs in."""

    StatusResult = _StatusResult
    BindingInfo = _BindingInfo

    def __getattr__(self, name: str) -> type[_Message]:
        return _Message


def event(**content: Any) -> SimpleNamespace:
    return SimpleNamespace(request=SimpleNamespace(**content), properties={"host": "127.0.0.1", "protos": _Protos()})


def init(folder: Path) -> SimpleNamespace:
    return event(worker_init_request=SimpleNamespace(capabilities={}, function_app_directory=str(folder)))


def reload(folder: Path) -> SimpleNamespace:
    reload = SimpleNamespace(environment_variables=dict(os.environ), function_app_directory=str(folder))
    return event(function_environment_reload_request=reload)


def invoke(function_id: str, input_data: list[OneOf], invocation: str, traceparent: str) -> SimpleNamespace:
    return SimpleNamespace(
        invocation_id=invocation,
        function_id=function_id,
        input_data=input_data,
        trigger_metadata={},
        trace_context=SimpleNamespace(trace_parent=traceparent, trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )


def answer_of_the_host(status: int, **headers: str) -> httpx2.Response:
    """Return an answer that no function has given."""
    return httpx2.Response(status, headers={"x-answered-by": "host", **headers})
