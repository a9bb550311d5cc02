"""What the Azure Functions worker lacks for a service that strangers can reach; installed once, before the worker indexes us.

Read in azure-functions-runtime 1.3.0 and azurefunctions-extensions-http-fastapi 1.0.1. The host sends a request in two ways,
over HTTP to the worker's web server and as an invocation, and the worker brings them together by the invocation's id. Each
waits for the other without a deadline, and what is known of a request is kept for ever. They miss each other where the host
refuses a request, and where it keeps a caller's own ``x-ms-invocation-id``, as some versions do. At ``functionTimeout``
the host kills the process, with every turn in it, for one invocation that waits.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from functools import partial, partialmethod
from typing import Any, NamedTuple

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.functions_bridge import AppResponse
from api.problems import error_response
from api.request_log import NO_TELEMETRY
from errors import NotReady
from services.intervals import GRACE_SECONDS

# Turns have their grace first; what still sends then is cut off.
SHUTDOWN_SECONDS = int(GRACE_SECONDS) + 2

# They normally meet within milliseconds; while one waits, it holds a slot of the host's concurrency.
REQUEST_SECONDS = 10.0
MAX_ORPHANS = 1000
COORDINATOR_MODULE = "azure_functions_runtime.http_v2"
logger = logging.getLogger(__name__)
Hook = Callable[[], Coroutine[Any, Any, None]]
Handler = Callable[[Request], Awaitable[Response]]


class Hooks(NamedTuple):
    """What the worker's server calls: once it listens, as soon as it is to stop, and after its last connection."""

    start: Hook
    drain: Hook
    close: Hook


class RequestNotForwarded(Exception):
    """An invocation and its request have not come together in time."""


def install(web: Any, *, start: Hook, drain: Hook, close: Hook) -> None:
    """Prepare the worker; ``web`` is the module of the HTTP extension.

    The extension's own web app would answer addresses itself (its documentation's, and what its route does not match), without
    telling the invocation, record each request that the host has recorded already, and name its server. ``start`` is called
    once the server listens; on SIGTERM ``drain`` is called at once, ``close`` after the last connection.
    """
    web.FastAPI = partial(web.FastAPI, telemetry=NO_TELEMETRY, openapi_url=None, docs_url=None, redoc_url=None)
    web.WebApp.route = _route_everything
    web.WebServer.serve = partialmethod(_serve, Hooks(start, drain, close))
    if worker := sys.modules.get(COORDINATOR_MODULE):
        BoundedCoordinator(worker.http_coordinator, seconds=REQUEST_SECONDS).install()
    elif sys.version_info >= (3, 13):
        # Workers of older versions of Python have another one; a newer worker may have moved it.
        logger.warning("%s is not loaded: invocations wait for their requests without a deadline", COORDINATOR_MODULE)


def _route_everything(web_app: Any, handler: Handler) -> Handler:
    """Hand every request to the worker's handler, whatever its method and path: the extension's route takes no line break."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path_params"] = {}
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)

    web_app.web_app.router.default = answer
    return handler


async def _serve(server: Any, hooks: Hooks) -> None:
    """Do what the extension's ``WebServer.serve`` does, but neither name the server nor print a line a request.

    The host logs requests, and so do we; the server's errors go where the app's lines go.
    """
    config = uvicorn.Config(
        server.web_app,
        host=server.hostname,
        port=server.port,
        ws="none",
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    await DrainingServer(config, hooks).serve()


class DrainingServer(uvicorn.Server):
    """uvicorn, which lets the app end its streams while it waits for the connections to close.

    It starts and closes the app too: nobody else tells of a worker's beginning, before the first request, nor of its end, least
    of all one that only timers and queues have called.
    """

    def __init__(self, config: uvicorn.Config, hooks: Hooks) -> None:
        super().__init__(config)
        self._hooks = hooks

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and start the app meanwhile."""
        await super().startup(sockets)
        self._starting = asyncio.create_task(self._hooks.start(), context=Context())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, end what runs, and close."""
        draining = asyncio.create_task(self._hooks.drain())
        await super().shutdown(sockets)
        (failure,) = await asyncio.gather(draining, return_exceptions=True)
        if failure:
            logger.error("ending open streams and turns failed", exc_info=failure)
        await self._hooks.close()


class BoundedCoordinator:
    """Bounds how long an invocation and its request wait for each other, and forgets both once the request is answered.

    It replaces three methods of the worker's one coordinator, which everybody refers to by its name.
    """

    def __init__(self, coordinator: Any, *, seconds: float) -> None:
        self._coordinator = coordinator
        self._seconds = seconds
        self._references: dict[str, Any] = coordinator._context_references
        self._orphans: deque[str] = deque(maxlen=MAX_ORPHANS)
        self._begun: set[str] = set()
        self._deadlines: dict[str, asyncio.Timeout] = {}
        self._get_request = type(coordinator).get_http_request_async.__get__(coordinator)
        self._set_response = type(coordinator).set_http_response.__get__(coordinator)
        self._get_response = type(coordinator).await_http_response_async.__get__(coordinator)

    def install(self) -> None:
        """Take the worker's place for these three methods."""
        self._coordinator.get_http_request_async = self.get_http_request_async
        self._coordinator.set_http_response = self.set_http_response
        self._coordinator.await_http_response_async = self.await_http_response_async

    async def get_http_request_async(self, invocation_id: str) -> Any:
        """Return an invocation's request.

        :raises RequestNotForwarded: if it does not come in time: one failed invocation, and nothing else.
        """
        try:
            async with asyncio.timeout(self._seconds):
                request = await self._get_request(invocation_id)
        except TimeoutError as error:
            self._orphans.append(invocation_id)
            self._references.pop(invocation_id, None)
            logger.warning("request of an invocation was not forwarded within %g s", self._seconds)
            raise RequestNotForwarded from error
        self._begun.add(invocation_id)
        if deadline := self._deadlines.get(invocation_id):
            deadline.reschedule(None)
        return request

    def set_http_response(self, invocation_id: str, response: Any) -> None:
        """Hand the response, or the exception, to whoever waits for it; without anybody, what would be sent is stopped."""
        if invocation_id in self._references and invocation_id not in self._orphans:
            self._set_response(invocation_id, response)
        elif isinstance(response, AppResponse):
            response.abandon()

    async def await_http_response_async(self, invocation_id: str) -> Any:
        """Return the response to a request, and forget about both: a problem if no invocation comes for it in time.

        Of two requests with one id, as when the forwarder tries again, the later is answered.
        """
        if invocation_id in self._orphans:
            self._references.pop(invocation_id, None)
            return error_response(NotReady(), invocation_id)
        if earlier := self._deadlines.get(invocation_id):
            earlier.reschedule(0)
        deadline = asyncio.timeout(None if invocation_id in self._begun else self._seconds)
        self._deadlines[invocation_id] = deadline
        try:
            async with deadline:
                return await self._get_response(invocation_id)
        except TimeoutError:
            logger.warning("no invocation has come for a request within %g s", self._seconds)
            return error_response(NotReady(), invocation_id)
        finally:
            if self._deadlines.get(invocation_id) is deadline:
                del self._deadlines[invocation_id]
                self._begun.discard(invocation_id)
                self._references.pop(invocation_id, None)
