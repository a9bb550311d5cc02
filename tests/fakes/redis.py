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

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self._port}"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        assert SERVER
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder))
        self._process = await asyncio.create_subprocess_exec(SERVER, *options, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout
        while b"Ready to accept connections" not in await self._process.stdout.readline():
            assert self._process.returncode is None

    async def stop(self) -> None:
        if self._process:
            self._process.kill()
            await self._process.communicate()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)
