"""A real Redis on a port of this machine, started and stopped by the test."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from pathlib import Path
from typing import Self

import pytest

SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(SERVER is None, reason="needs redis-server")


class RedisServer:
    """Use it as an async context manager; it can go away and come back in between."""

    def __init__(self, folder: Path, *options: str, tls: bool = False) -> None:
        self._folder = folder
        self._options = options
        self._tls = tls
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{self._port}"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        assert SERVER
        ports = ("--port", "0", "--tls-port", str(self._port)) if self._tls else ("--port", str(self._port))
        options = (*ports, "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder), *self._options)
        self._process = await asyncio.create_subprocess_exec(SERVER, *options, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout
        while b"Ready to accept connections" not in (line := await self._process.stdout.readline()):
            assert line, "Redis did not start"

    async def stop(self) -> None:
        if self._process:
            self._process.kill()
            await self._process.communicate()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)
