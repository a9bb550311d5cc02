"""The bridge from the Azure Functions worker to the app: starts the app, and streams requests in and responses out.

The worker runs a web server of its own. It calls a function's handler, ends its side of the invocation when the handler
returns, and then sends what was returned. (Whether ``functionTimeout`` also bounds that differs between versions of the host.
An invocation that has not returned by then costs the worker its life.) So the handler starts the app in a task and returns as
soon as the response has begun; the rest follows through a short queue while the server sends. The task is made in the handler,
because trace context and invocation id are not there any more when the response is sent.

The worker runs no lifespan of ours. Its server starts the app when it starts itself, before the first request is there, and
drains and closes it when it shuts down, on SIGTERM and SIGINT (:mod:`api.functions_worker`). A start that failed is tried again
with the next request, timer or message. A worker that is killed closes nothing: its turns' leases expire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from contextvars import Context
from typing import Any, NamedTuple

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.health import HEALTH_PATH
from api.problems import error_response
from errors import ChatError, InternalError, NotReady

START_SECONDS = 30.0
# Enough to keep app and server busy side by side; a slow client still slows the app down.
MAX_QUEUED_MESSAGES = 8
SCOPE_KEYS = (
    "type",
    "asgi",
    "http_version",
    "server",
    "client",
    "scheme",
    "method",
    "path",
    "raw_path",
    "query_string",
    "headers",
)
# The host tries functions in the order of their names (not: literal paths first), so the one for all other paths comes last.
CATCH_ALL = "zz_everything_else"
# What the library knows of the methods that the extension's web server hands on. The host answers all others itself: the
# worker's server would tell the caller, but not the invocation.
METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
logger = logging.getLogger(__name__)


class HttpFunction(NamedTuple):
    """An HTTP-triggered function as the host knows it."""

    name: str
    route: str
    methods: list[str]


def http_functions(app: FastAPI) -> Iterator[HttpFunction]:
    """Describe the functions that serve an app: one a route, and one for what no route takes.

    Without the last, the host would answer wrong paths and methods itself, in its own format. It also takes ``/``: a function
    cannot have the empty route, for which the host puts the function's name.
    """
    for route in iter_route_contexts(app.routes):
        if path := str(route.path).removeprefix("/"):
            yield HttpFunction(str(route.name), path, sorted(route.methods or METHODS))
    yield HttpFunction(CATCH_ALL, "{*path}", METHODS)


class FunctionsBridge:
    """Serves one app on the worker's event loop; :meth:`handle` is the handler of all its HTTP-triggered functions."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._lifespan: Lifespan | None = None
        self._is_closing = False

    async def start(self, work: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """Start the app, so that the first request finds it started, and call ``work`` with its state; a failure is logged."""
        try:
            await work(await self._started())
        except Exception:
            logger.exception("the app could not be started")

    async def handle(self, req: Request) -> Response:
        """Let the app answer a request of the worker's web server; health is answered while the app starts.

        Never raises: a failed start is a 503 problem, an app that fails before its response begins a 500 problem.
        """
        try:
            state = {} if req.scope["path"] == HEALTH_PATH else await self._started()
        except Exception:
            logger.exception("the app could not be started")
            return _problem(NotReady(), req)
        scope: Scope = {key: value for key, value in req.scope.items() if key in SCOPE_KEYS}
        scope.update(root_path="", state=dict(state))
        try:
            return await begin_response(self._app, scope, req.receive)
        except Exception:
            logger.exception("the app failed before its response")
            return _problem(InternalError(), req)

    async def run(self, work: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """Call ``work`` with the started app's state, for a function with another trigger; raises what that raises.

        :raises NotReady: if the app could not be started. The log says why; the exception's text is not for the host.
        """
        try:
            state = await self._started()
        except Exception:
            logger.exception("the app could not be started")
            raise NotReady from None
        await work(state)

    async def drain(self, work: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """Start nothing any more, and call ``work`` with the app's state, if it has been started."""
        self._is_closing = True
        if self._lifespan and not self._lifespan.failed:
            await work(await self._lifespan.state)

    async def aclose(self) -> None:
        """Shut the app down, if it has been started."""
        self._is_closing = True
        if self._lifespan:
            await self._lifespan.aclose()

    async def _started(self) -> Mapping[str, Any]:
        """Return the app's state; all who come while it starts share that one attempt and its outcome."""
        if self._is_closing:
            raise RuntimeError("the worker is stopping")
        if self._lifespan is None or self._lifespan.failed:
            self._lifespan = Lifespan(self._app)
        # A caller that is cancelled must not cancel the others' start.
        return await asyncio.shield(self._lifespan.state)


class Lifespan:
    """An app's lifespan from start to end, in a task of its own and outside of any request's context.

    ``state`` is what the app handed to its requests, or the exception that ended its start.
    """

    def __init__(self, app: FastAPI) -> None:
        self.state: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._run(app), context=Context())

    @property
    def failed(self) -> bool:
        """Whether the app could not be started."""
        return self.state.done() and self.state.exception() is not None

    async def aclose(self) -> None:
        """End the lifespan; raises what the app raises then."""
        self._stopping.set()
        await self._task

    async def _run(self, app: FastAPI) -> None:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(START_SECONDS):
                    state = await stack.enter_async_context(app.router.lifespan_context(app))
            except BaseException as error:
                # The requests that wait for it log and answer it.
                failure = error if isinstance(error, Exception) else RuntimeError("the start was cancelled")
                self.state.set_exception(failure)
                if isinstance(error, Exception | asyncio.CancelledError):
                    return
                raise
            self.state.set_result(state or {})
            await self._stopping.wait()


class AppResponse(Response):
    """A response that has begun: sends what the app has sent so far and goes on sending, message by message."""

    def __init__(self, first: Message, rest: MemoryObjectReceiveStream[Message], task: asyncio.Task[None]) -> None:
        super().__init__(status_code=first["status"])
        self._first = first
        self._rest = rest
        self._task = task

    def abandon(self) -> None:
        """Stop the app: nobody will have the response sent."""
        self._rest.close()
        self._task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the app has its own
        """Send the response; an app that fails on the way makes the server cut the connection off."""
        try:
            await send(self._first)
            async for message in self._rest:
                await send(message)
            await self._task
        finally:
            self._rest.close()
            self._task.cancel()
            await asyncio.wait([self._task])


async def begin_response(app: ASGIApp, scope: Scope, receive: Receive) -> AppResponse:
    """Run the app in a task and return its response as soon as it has begun.

    Raises what the app raises before that.
    """
    messages, rest = anyio.create_memory_object_stream[Message](MAX_QUEUED_MESSAGES)
    task = asyncio.create_task(_run(app, scope, receive, messages.send))
    # Not in the task itself, which never gets to run if it is cancelled at once.
    task.add_done_callback(lambda _: messages.close())
    try:
        return AppResponse(await rest.receive(), rest, task)
    except BaseException as error:
        rest.close()
        task.cancel()
        if isinstance(error, anyio.EndOfStream):
            await task
            raise RuntimeError("the app ended without a response") from None
        raise


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def _problem(error: ChatError, req: Request) -> Response:
    """Render an error; the invocation's id stands for the request's, which only the app gives."""
    id = req.headers.get("x-ms-invocation-id") or "unknown"
    response = error_response(error, id)
    response.headers["X-Request-ID"] = id
    return response
