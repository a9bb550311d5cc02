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
import sys
from collections import deque
from functools import partial
from typing import Any

import uvicorn

from api.request_log import RECORD_NOTHING

REQUEST_SECONDS = 30.0
MAX_ORPHANS = 1000
COORDINATOR_MODULE = "azure_functions_runtime.http_v2"
logger = logging.getLogger(__name__)


class RequestNotForwarded(Exception):
    """An invocation and its request have not come together in time."""


def install(web: Any) -> None:
    """Prepare the worker; ``web`` is the module of the HTTP extension.

    The extension's own web app would answer its documentation's addresses itself, without telling the invocation, record each
    request that the host has recorded already, and name its server.
    """
    web.FastAPI = partial(web.FastAPI, telemetry=RECORD_NOTHING, openapi_url=None, docs_url=None, redoc_url=None)
    web.WebServer.serve = _serve
    if worker := sys.modules.get(COORDINATOR_MODULE):
        BoundedCoordinator(worker.http_coordinator, seconds=REQUEST_SECONDS).install()
    elif sys.version_info >= (3, 13):
        # Workers of older versions of Python have another one; a newer worker may have moved it.
        logger.warning("%s is not loaded: invocations wait for their requests without a deadline", COORDINATOR_MODULE)


async def _serve(server: Any) -> None:
    """Do what the extension's ``WebServer.serve`` does, but neither name the server nor print a line a request.

    The host logs requests, and so do we; the server's errors go where the app's lines go.
    """
    config = uvicorn.Config(
        server.web_app, host=server.hostname, port=server.port, server_header=False, access_log=False, log_config=None
    )
    await uvicorn.Server(config).serve()


class BoundedCoordinator:
    """Bounds how long an invocation and its request wait for each other, and forgets both once the request is answered.

    It replaces three methods of the worker's one coordinator, which everybody refers to by its name.
    """

    def __init__(self, coordinator: Any, *, seconds: float) -> None:
        self._coordinator = coordinator
        self._seconds = seconds
        self._references: dict[str, Any] = coordinator._context_references
        self._orphans: deque[str] = deque(maxlen=MAX_ORPHANS)
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
            logger.warning("request of an invocation was not forwarded within %g s", self._seconds)
            raise RequestNotForwarded from error
        if deadline := self._deadlines.get(invocation_id):
            deadline.reschedule(None)
        return request

    def set_http_response(self, invocation_id: str, response: Any) -> None:
        """Hand the response, or the exception, to whoever waits for it; nobody does in an orphan's case."""
        if invocation_id in self._orphans:
            self._references.pop(invocation_id, None)
        else:
            self._set_response(invocation_id, response)

    async def await_http_response_async(self, invocation_id: str) -> Any:
        """Return the response to a request, and forget about both.

        :raises RequestNotForwarded: if its invocation has been given up already, or none comes in time.
        """
        try:
            if invocation_id in self._orphans:
                raise RequestNotForwarded
            async with asyncio.timeout(self._seconds) as self._deadlines[invocation_id]:
                return await self._get_response(invocation_id)
        except TimeoutError as error:
            logger.warning("no invocation has come for a request within %g s", self._seconds)
            raise RequestNotForwarded from error
        finally:
            self._deadlines.pop(invocation_id, None)
            self._references.pop(invocation_id, None)
