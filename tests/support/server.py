"""Runs ASGI apps on a real socket inside the test's own event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import uvicorn
from starlette.types import ASGIApp

from api.app import create_app
from services.intervals import Intervals
from settings import Settings


class Server(uvicorn.Server):
    """uvicorn that tells when it has started."""

    def __init__(self, app: ASGIApp, certificate: Path | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate,
            )
        )
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def serve(app: ASGIApp, certificate: Path | None = None) -> AsyncIterator[str]:
    """Serve an ASGI app on a free port and yield its address; with a certificate (and its key, in one file) over TLS."""
    server = Server(app, certificate)
    # The protocol is named because asyncio leaves Nagle's algorithm on otherwise: 40 ms a request.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        # Loopback's own buffers grow to megabytes: with them, a reader who takes nothing of a stream is not noticed.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
        listener.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server._serve([listener]))
        await server.ready.wait()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def serve_api(
    settings: Settings,
    intervals: Intervals = Intervals(),  # noqa: B008 - immutable
) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve the API and yield a client of it."""
    async with (
        serve(create_app(settings, intervals)) as address,
        httpx2.AsyncClient(base_url=address, timeout=30) as client,
    ):
        yield client
