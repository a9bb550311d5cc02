"""Cold starts, from the start of the process to health and to the end of the first turn, as a Markdown table.

Each is pinned to one core, with bytecode compiled beforehand; figures are medians. CPU is that of the whole process until the
end of the first turn: it says more than seconds where something else runs on the machine.

``python -m tests.programs.bench.starts`` measures this alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_identity import FakeIdentityEndpoint, self_signed
from tests.programs.bench import processes
from tests.programs.bench.extent import Extent
from tests.programs.bench.load import Client
from tests.programs.bench.report import CONTENTS
from tests.support.stores import CosmosBackend

DATABASE = "chat_db"
HEAD = """
| process start to … | health, s (goal x 0.45) | end of the first turn, s (goal x 0.65) | CPU until then, s |
|---|---|---|---|"""


class Start(NamedTuple):
    """Seconds until health answered and until the first turn had ended, and the seconds of CPU that took."""

    health: float
    turn: float
    cpu: float


def compile_bytecode() -> None:
    """Compile what is measured, as an image of a container does: elsewhere the first of several starts would pay for it."""
    folders = [path for path in processes.ROOT.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], check=True)


def one_core() -> tuple[str, ...]:
    """Return what pins a program to a core, where there is such a program."""
    return ("taskset", "-c", "0") if shutil.which("taskset") else ()


async def start_plain(model_url: str, folder: Path) -> Start:
    """Start the plain server."""
    begun = time.perf_counter()
    async with processes.plain(model_url, folder / "plain.db", *one_core()) as (url, process), Client(url) as client:
        await client.json("GET", "/health")
        health = time.perf_counter() - begun
        await client.json("POST", f"/{time.time_ns()}", {"content": CONTENTS[0]})
        return Start(health, time.perf_counter() - begun, processes.cpu_ms(process) / 1000)


async def start_ours(model_url: str, folder: Path, environment: Mapping[str, str]) -> Start:
    """Start the API on uvicorn."""
    begun = time.perf_counter()
    async with processes.api(folder, model_url, *one_core(), **environment) as (url, process), Client(url) as client:
        await client.json("GET", "/api/health")
        health = time.perf_counter() - begun
        thread = await client.json("POST", "/api/threads", {})
        await client.json("POST", f"/api/threads/{thread['id']}/messages", {"content": CONTENTS[0]})
        return Start(health, time.perf_counter() - begun, processes.cpu_ms(process) / 1000)


async def start_functions(model_url: str, folder: Path, environment: Mapping[str, str]) -> Start:
    """Start the function app in the Functions runtime."""
    settings = processes.api_environment(0, folder, model_url) | {"ALLOW_ANONYMOUS_LOCAL": "true", **environment}
    process = await asyncio.create_subprocess_exec(
        *(*one_core(), sys.executable, "-m", "tests.programs.bench.functions_start", str(time.monotonic())),
        cwd=processes.ROOT,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the function app does not start:\n{errors.decode()}")
    return Start(*json.loads(output.splitlines()[-1]))


@asynccontextmanager
async def cosmos_with_identity(folder: Path) -> AsyncIterator[Mapping[str, str]]:
    """Run an account and who gives tokens for it; yield the settings with which they are used."""
    async with FakeCosmos(tls=self_signed(folder)) as cosmos, FakeIdentityEndpoint() as identity:
        # An identity cannot create them.
        async with CosmosBackend(cosmos.endpoint, KEY, DATABASE, cosmos).new():
            pass
        yield {"COSMOS_ENDPOINT": cosmos.endpoint, "COSMOS_DATABASE": DATABASE, **identity.environment}


async def bench_starts(model_url: str, data_dir: Path, extent: Extent) -> None:
    """Measure all starts in turns, and print the table."""
    compile_bytecode()
    folder = data_dir / "starts"
    folder.mkdir()
    async with cosmos_with_identity(folder) as cosmos:
        kinds: dict[str, Callable[[], Awaitable[Start]]] = {
            "plain server": partial(start_plain, model_url, folder),
            "SQLite": partial(start_ours, model_url, folder, {}),
            "Cosmos DB with a managed identity": partial(start_ours, model_url, folder, cosmos),
        }
        if sys.version_info >= (3, 13):
            kinds["Functions, SQLite"] = partial(start_functions, model_url, folder, {})
            kinds["Functions, Cosmos DB with a managed identity"] = partial(start_functions, model_url, folder, cosmos)
        # One after another, and again: all of them see the same machine. The first round fills the disk's cache.
        rounds = [{name: await start() for name, start in kinds.items()} for _ in range(1 + extent.of(7))][1:]
    print(HEAD)
    medians = {name: [statistics.median(part) for part in zip(*(each[name] for each in rounds), strict=True)] for name in kinds}
    plain = medians["plain server"]
    for name, values in medians.items():
        cells = [f"{ours:.2f} (x {ours / theirs:.2f})" for ours, theirs in zip(values, plain, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with processes.fake_model() as model_url:
            await bench_starts(model_url, Path(folder), Extent())


if __name__ == "__main__":
    asyncio.run(main())
