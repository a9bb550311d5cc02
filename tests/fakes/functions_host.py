"""The Azure Functions host, for HTTP, timers and queues: drives the real Python runtime (azure_functions_runtime) in here.

It sends the runtime the messages of the host's protocol, and forwards each HTTP request to the web server that the runtime
starts, marked with the id of its invocation. Where the real host is unkind, so is this one: read in azure-functions-host
4.1037. It forwards no header that is not ASCII, answers preflights itself, reads a body of known length before anything else,
and a test in which an invocation does not end fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import importlib.util
import json
import re
import socket
import sys
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import httpx2
import pytest
import uvicorn

import api.app
from services.intervals import Intervals
from tests.fakes.functions_process import Start, own_logging, search_path, without
from tests.fakes.functions_protocol import OneOf, answer_of_the_host, event, init, invoke, reload

DEADLINE = 20.0
BODY_LIMIT = 104_857_600
needs_runtime = pytest.mark.skipif(
    importlib.util.find_spec("azure_functions_runtime") is None,
    reason="azure-functions-runtime is the worker of Python 3.13 and later",
)
INVOCATION: ContextVar[str | None] = ContextVar("invocation", default=None)


@contextmanager
def _watched_server() -> Iterator[asyncio.Future[WorkerServer]]:
    """Tell when the worker's web server, whichever class of uvicorn's it is, has started; and let it be ended."""
    started: asyncio.Future[WorkerServer] = asyncio.get_running_loop().create_future()
    startup, serve = uvicorn.Server.startup, uvicorn.Server.serve
    ended = asyncio.Event()

    async def watched_startup(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        await startup(server, sockets)
        started.set_result(WorkerServer(server, ended))

    async def watched_serve(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        try:
            await serve(server, sockets)
        finally:
            ended.set()

    with mock.patch.multiple(uvicorn.Server, startup=watched_startup, serve=watched_serve):
        yield started


@dataclass(frozen=True)
class WorkerServer:
    """The worker's web server."""

    server: uvicorn.Server
    ended: asyncio.Event


@dataclass(frozen=True)
class TriggeredFunction:
    """What the runtime told about a timer- or queue-triggered function."""

    id: str
    name: str
    trigger: dict[str, Any]


@dataclass(frozen=True)
class IndexedFunction:
    """What the runtime told about an HTTP-triggered function."""

    id: str
    name: str
    route: str
    methods: tuple[str, ...] | None
    auth_level: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the route parameters if this function takes the request."""
        if self.methods is not None and method not in self.methods:
            return None
        pattern = re.sub(r"\\\{\\\*(\w+)\\\}", r"(?P<\1>.*)", re.escape(self.route))
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", pattern)
        found = re.fullmatch(pattern, path.removeprefix("/"), re.IGNORECASE | re.DOTALL)
        return found.groupdict() if found else None


class FunctionsHost(httpx2.AsyncBaseTransport):
    """A transport for HTTP clients that leads through host and worker to the functions."""

    def __init__(
        self,
        module: ModuleType,
        functions: list[IndexedFunction | TriggeredFunction],
        worker: str,
        server: WorkerServer,
    ) -> None:
        self.module = module
        self._server = server
        # As the real host does: the first of these that matches gets the request.
        http = [function for function in functions if isinstance(function, IndexedFunction)]
        self.functions = sorted(http, key=lambda function: function.name.upper())
        self.triggered = {function.name: function for function in functions if isinstance(function, TriggeredFunction)}
        self.invocations: deque[tuple[str, Any]] = deque(maxlen=100)
        # The span of each invocation, as the functions are told.
        self.traceparents: list[str] = []
        self._worker = httpx2.URL(worker)
        self._http = httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=None))
        self._runtime = importlib.import_module("azure_functions_runtime.handle_event")
        self._tasks: set[asyncio.Task[None]] = set()
        # As siteConfig.cors has them.
        self.allowed_origins: tuple[str, ...] = ()
        self.body_limit = BODY_LIMIT

    @property
    def open_invocations(self) -> int:
        """How many invocations have not ended."""
        return len(self._tasks)

    async def all_ended(self) -> None:
        """Wait until no invocation is open."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DEADLINE)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        origin = request.headers.get("origin", "")
        allowed = {"access-control-allow-origin": origin} if origin in self.allowed_origins else {}
        if request.method == "OPTIONS" and origin and "access-control-request-method" in request.headers:
            return answer_of_the_host(204, **allowed)
        for function in self.functions:
            params = function.match(request.method, request.url.path)
            if params is not None:
                response = await self._invoke(function, params, request)
                response.headers.update(allowed)
                return response
        return answer_of_the_host(404)

    async def aclose(self) -> None:
        """Close the connections; an invocation that does not end would have cost the worker its life.

        :raises AssertionError: if there is one.
        """
        await self._http.aclose()
        await self.all_ended()
        assert not self._tasks, f"{len(self._tasks)} invocations do not end"

    async def fire(self, name: str) -> Any:
        """Call a timer-triggered function as the host does when it is due; return the result."""
        timer = self.triggered[name]
        due = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
        data = OneOf("data", name=timer.trigger["name"], data=OneOf("json", json=json.dumps(due)))
        request = invoke(timer.id, [data], str(uuid.uuid4()), self._begin_span(None))
        response = await self._runtime.invocation_request(event(invocation_request=request))
        return response.result

    async def deliver(self, name: str, body: str, *, attempt: int = 1) -> Any:
        """Call a queue-triggered function with a message's body as the host does; return the result."""
        function = self.triggered[name]
        data = OneOf("data", name=function.trigger["name"], data=OneOf("string", string=body))
        request = invoke(function.id, [data], str(uuid.uuid4()), self._begin_span(None))
        request.trigger_metadata = {"DequeueCount": OneOf("json", json=str(attempt))}
        response = await self._runtime.invocation_request(event(invocation_request=request))
        return response.result

    async def stop_worker(self) -> None:
        """Shut the worker's server down, as SIGTERM does."""
        self._server.server.should_exit = True
        await asyncio.wait_for(self._server.ended.wait(), DEADLINE)

    async def _invoke(self, function: IndexedFunction, params: dict[str, str], request: httpx2.Request) -> httpx2.Response:
        if "content-length" in request.headers:
            if int(request.headers["content-length"]) > self.body_limit:
                return answer_of_the_host(413)
            await request.aread()
        invocation = str(uuid.uuid4())
        traceparent = self._begin_span(request.headers.get("traceparent"))
        task = asyncio.create_task(self._run(function, params, invocation, traceparent))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not all(value.isascii() for _, value in request.headers.raw):
            # Ten tries, in the real one; the invocation is on its way already.
            return answer_of_the_host(502)
        url = request.url.copy_with(scheme="http", host=self._worker.host, port=self._worker.port)
        headers = request.headers.copy()
        # Not a caller's own (fixed in later versions): this request and its invocation miss each other.
        headers.setdefault("x-ms-invocation-id", invocation)
        return await self._http.handle_async_request(
            httpx2.Request(request.method, url, headers=headers.raw, stream=request.stream, extensions=request.extensions)
        )

    def _begin_span(self, caller: str | None) -> str:
        """Return the traceparent of a new invocation, in the caller's trace or one of its own."""
        trace = caller.split("-")[1] if caller else uuid.uuid4().hex
        self.traceparents.append(f"00-{trace}-{uuid.uuid4().hex[:16]}-01")
        return self.traceparents[-1]

    async def _run(self, function: IndexedFunction, params: dict[str, str], invocation: str, traceparent: str) -> None:
        INVOCATION.set(invocation)
        http = SimpleNamespace(method="", url="", headers={}, params=params, query={}, body=OneOf())
        request = invoke(function.id, [OneOf("data", name="req", data=OneOf("http", http=http))], invocation, traceparent)
        response = await self._runtime.invocation_request(event(invocation_request=request))
        self.invocations.append((function.name, response.result))


@asynccontextmanager
async def start_host(
    folder: Path,
    script: str,
    start: Start = "init",
    intervals: Intervals = Intervals(),  # noqa: B008 - immutable
) -> AsyncIterator[FunctionsHost]:
    """Load the function app ``script`` in ``folder`` afresh, as a new worker would, and stop its server at the end.

    The runtime imports the script, which takes no argument from anybody: the ``intervals`` are put in where it makes its app.
    """
    runtime = importlib.import_module("azure_functions_runtime.handle_event")
    stem = script.removesuffix(".py")
    sys.modules.pop(stem, None)
    with (
        own_logging(),
        _watched_server() as server,
        mock.patch.dict("os.environ", {"PYTHON_SCRIPT_FILE_NAME": script}),
        mock.patch.object(sys, "path", search_path(folder, start)),
        mock.patch.object(api.app, "create_app", partial(api.app.create_app, intervals=intervals)),
        without("httptools", "uvloop"),
        contextlib.chdir(Path.cwd()),
    ):
        if start == "init":
            started = await runtime.worker_init_request(init(folder))
        else:
            started = await runtime.function_environment_reload_request(reload(folder))
        assert started.result.status == "Success", started.result.exception
        indexed = await runtime.functions_metadata_request(event())
        await asyncio.wait_for(server, DEADLINE)
    functions = [_indexed(metadata) for metadata in indexed.function_metadata_results]
    for function in functions:
        load = SimpleNamespace(function_id=function.id, metadata=SimpleNamespace(name=function.name))
        assert (await runtime.function_load_request(event(function_load_request=load))).result.status == "Success"
    host = FunctionsHost(sys.modules.pop(stem), functions, started.capabilities["HttpUri"], server.result())
    try:
        yield host
    finally:
        await host.aclose()
        await host.stop_worker()
        # This process goes on after the worker's end.
        gc.unfreeze()


def _indexed(metadata: Any) -> IndexedFunction | TriggeredFunction:
    trigger = json.loads(metadata.raw_bindings[0])
    if trigger["type"] in ("timerTrigger", "queueTrigger"):
        return TriggeredFunction(metadata.function_id, metadata.name, trigger)
    methods = tuple(trigger["methods"]) if "methods" in trigger else None
    return IndexedFunction(metadata.function_id, metadata.name, trigger["route"], methods, trigger["authLevel"])
