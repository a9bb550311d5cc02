"""A function app for the bridge's tests: its routes do what the real API does not, and its probe lets the tests look in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import azure.functions as func
import fastapi
from azurefunctions.extensions.http.fastapi import web  # type: ignore[import-untyped]  # it comes without types
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api import functions_worker
from api.functions_bridge import FunctionsBridge, http_functions
from tests.fakes.functions_host import INVOCATION


@dataclass
class Probe:
    """What happened in the app, and what the tests hold back; its start among it."""

    arrived: int = 0
    starts: int = 0
    failing_starts: int = 0
    start_context: str | None = "unknown"
    may_start: asyncio.Event = field(default_factory=asyncio.Event)
    start_completed: bool = False
    cancelled_start: bool = False
    draining: bool = False
    closed: bool = False
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    received: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


probe = Probe()


@asynccontextmanager
async def lifespan(api: fastapi.FastAPI) -> AsyncIterator[dict[str, str]]:
    probe.starts += 1
    probe.start_context = INVOCATION.get()
    await probe.may_start.wait()
    if probe.cancelled_start:
        probe.cancelled_start = False
        raise asyncio.CancelledError
    if probe.starts <= probe.failing_starts:
        raise OSError("the secret address refuses connections")
    api.state.greeting = "hello"
    yield {"service": "ready"}
    probe.closed = True


class Sample(fastapi.FastAPI):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/api/broken":
            raise RuntimeError("a secret")
        if scope["path"] == "/api/silent":
            return
        await super().__call__(scope, receive, send)


api = Sample(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)


@api.get("/api/health")
async def get_health() -> dict[str, int]:
    return {"starts": probe.starts}


@api.get("/api/things/{thing_id}")
async def get_thing(request: Request, thing_id: str) -> dict[str, Any]:
    return {
        "id": thing_id,
        "query": request.url.query,
        "raw_path": request.scope["raw_path"].decode(),
        "root_path": request.scope["root_path"],
        "forwarded": request.headers.get("x-forwarded-for"),
        "service": request.state.service,
        "greeting": request.app.state.greeting,
        "invocation": INVOCATION.get(),
    }


@api.post("/api/upload")
async def upload(request: Request) -> list[str]:
    pieces = []
    async for piece in request.stream():
        pieces.append(piece.decode())
        probe.received.set()
    return [piece for piece in pieces if piece]


@api.get("/api/pieces")
async def get_pieces() -> Response:
    async def pieces() -> AsyncIterator[str]:
        yield "first"
        await probe.go.wait()
        yield "second"

    return StreamingResponse(pieces(), headers={"X-Sample": "yes"})


@api.get("/api/endless")
async def get_endless() -> Response:
    async def pieces() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            probe.left.set()

    return StreamingResponse(pieces())


@api.get("/api/cut")
async def get_cut() -> Response:
    async def pieces() -> AsyncIterator[str]:
        yield "first"
        raise RuntimeError("a secret")

    return StreamingResponse(pieces())


@api.get("/api/slow")
async def get_slow() -> dict[str, bool]:
    probe.entered.set()
    await probe.go.wait()
    probe.left.set()
    return {"done": True}


@api.get("/api/broken")
@api.get("/api/silent", name="silent")
async def broken() -> None:
    raise AssertionError("the app fails before it comes here")


async def trivial(req: Request) -> Response:
    """Answer without the bridge: what the runtime itself costs."""
    return Response('{"id":"1"}', media_type="application/json")


bridge = FunctionsBridge(api)


async def complete_start(_: Mapping[str, Any]) -> None:
    """Note that the start has ended."""
    probe.start_completed = True


async def drain(_: Mapping[str, Any]) -> None:
    """End what runs: here, the response that would not end by itself."""
    probe.draining = True
    probe.go.set()


functions_worker.install(
    web, start=partial(bridge.start, complete_start), drain=partial(bridge.drain, drain), close=bridge.aclose
)


async def handle(req: Request) -> Response:
    """Count the request, then leave it to the bridge."""
    probe.arrived += 1
    return await bridge.handle(req)


app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.function_name("a_trivial")(app.route(route="api/trivial", methods=["GET"])(trivial))
for function in http_functions(api):
    app.function_name(function.name)(app.route(route=function.route, methods=function.methods)(handle))
