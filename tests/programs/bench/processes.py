"""Starts the programs that are measured, and reads what they use."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.programs.bench.load import Client
from tests.support.assistant_folder import FOLDER

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def program(
    *command: str, port: int, environment: Mapping[str, str] | None = None, logs: bool = True
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until it listens on ``port``, and end it afterwards.

    Without ``logs`` what it logs is shown only if it cannot start.
    """
    with tempfile.TemporaryFile() as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=None if logs else file,
        )
        try:
            if not await until_listening(port, process):
                file.seek(0)
                raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}\n{file.read().decode()}")
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def until_listening(port: int, process: asyncio.subprocess.Process | None = None) -> bool:
    """Return as soon as somebody listens on ``port``; ``False`` if the process that should has ended instead."""
    deadline = time.monotonic() + 30
    while process is None or process.returncode is None:
        try:
            async with Client(f"http://127.0.0.1:{port}"):
                return True
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.002)
    return False


@asynccontextmanager
async def fake_model() -> AsyncIterator[str]:
    """Run the model fake, which answers at once; yield its address."""
    port = free_port()
    async with program(sys.executable, "-m", "tests.fakes.instant_model", "--port", str(port), port=port):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def collector() -> AsyncIterator[str]:
    """Run the telemetry collector, which takes everything; yield its address."""
    port = free_port()
    async with program(sys.executable, "-m", "tests.fakes.otlp", str(port), port=port):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def forwarder(model_url: str) -> AsyncIterator[str]:
    """Run the bare forwarder; yield its address."""
    port = free_port()
    async with program(sys.executable, "-m", "tests.programs.bench.forwarder", model_url, str(port), port=port):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def plain(model_url: str, file: Path, *before: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Run the plain server, behind another command if there is one; yield its address and its process."""
    port = free_port()
    command = (*before, sys.executable, "-m", "tests.programs.bench.plain", model_url, str(port), str(file))
    async with program(*command, port=port) as process:
        yield f"http://127.0.0.1:{port}", process


def api_environment(port: int, data_dir: Path, model_url: str) -> dict[str, str]:
    """Return the settings with which the API is measured: SQLite, the model fake, the tests' assistant."""
    return {
        "PORT": str(port),
        "DATA_DIR": str(data_dir),
        "OPENAI_BASE_URL": f"{model_url}/v1",
        "OPENAI_MODEL": "fake",
        "ASSISTANT_DIR": str(FOLDER),
    }


@asynccontextmanager
async def api(
    data_dir: Path, model_url: str, *before: str, **environment: str
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Run the API, with more settings, behind another command if there is one; yield its address and its process."""
    port = free_port()
    environment = api_environment(port, data_dir, model_url) | environment
    # Not a line a request between the figures.
    async with program(*before, sys.executable, "local.py", port=port, environment=environment, logs=False) as process:
        yield f"http://127.0.0.1:{port}", process


def cpu_ms(process: asyncio.subprocess.Process) -> float:
    """Return the milliseconds of CPU that a process has used, all its threads together."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def rss_mb(process: asyncio.subprocess.Process) -> float:
    """Return the memory that a process holds, in MB."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")
