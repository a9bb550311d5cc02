"""Cold starts: from the start of the process to health, and to the end of the first turn, pinned to one core.

On SQLite; on Cosmos DB with a managed identity, whose tokens come from an endpoint on this machine, as on Azure; and through
the code that runs Python apps on Azure Functions. Bytecode is there, as after any start but a first one.
"""

from __future__ import annotations

import asyncio
import compileall
import json
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from cosmos_store import CosmosStore
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_identity import self_signed
from tests.programs.bench import processes
from tests.programs.bench.extent import Extent
from tests.programs.bench.load import Client
from tests.programs.bench.report import CONTENTS, report

ONE_CORE = ("taskset", "-c", "0")
DATABASE = "chat_db"
NOT_OURS = re.compile(r"/(\.venv[^/]*|node_modules|\.git)/")


class Started(NamedTuple):
    """Seconds from the start of a process to its answers."""

    health: float
    turn: float


def pinned() -> tuple[str, ...]:
    """Return what a command has before it, to have one core for itself."""
    return ONE_CORE if shutil.which(ONE_CORE[0]) else ()


def compile_all() -> None:
    """Leave bytecode for all of the project, so that no start pays for another's."""
    compileall.compile_dir(str(processes.ROOT), maxlevels=6, quiet=2, rx=NOT_OURS)


async def start_api(data_dir: Path, model_url: str, **environment: str) -> Started:
    """Start the API, and have a turn."""
    start = time.perf_counter()
    async with processes.api(data_dir, model_url, *pinned(), **environment) as (url, _), Client(url) as client:
        await client.json("GET", "/api/health")
        health = time.perf_counter() - start
        thread = (await client.json("POST", "/api/threads", {}))["id"]
        await client.json("POST", f"/api/threads/{thread}/messages", {"content": CONTENTS[0]})
        return Started(health, time.perf_counter() - start)


async def start_plain(file: Path, model_url: str, number: int) -> Started:
    """Start the plain server, and have a turn."""
    start = time.perf_counter()
    async with processes.plain(model_url, file, *pinned()) as (url, _), Client(url) as client:
        await client.json("GET", "/health")
        health = time.perf_counter() - start
        await client.json("POST", f"/start-{number}", {"content": CONTENTS[0]})
        return Started(health, time.perf_counter() - start)


async def start_functions(data_dir: Path, model_url: str) -> Started:
    """Start the worker of Azure Functions with the app, and have a turn through it."""
    command = (*pinned(), sys.executable, "-m", "tests.programs.bench.functions_start", str(time.perf_counter()))
    environment = processes.api_environment(0, data_dir, model_url) | {"ALLOW_ANONYMOUS_LOCAL": "true"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=processes.ROOT, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    return Started(*json.loads(told.splitlines()[-1]))


@asynccontextmanager
async def account(folder: Path) -> AsyncIterator[Mapping[str, str]]:
    """Run a Cosmos DB account and an endpoint that gives tokens; yield the settings of a process that uses them."""

    async def token(request: web.Request) -> web.Response:
        expires = str(int(time.time()) + 3600)
        body = {"access_token": "t", "expires_on": expires, "resource": request.query["resource"], "token_type": "Bearer"}
        return web.json_response(body)

    app = web.Application()
    app.router.add_get("/token", token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with FakeCosmos() as plain, FakeCosmos(tls=self_signed(folder)) as fake:
            # An identity cannot make containers.
            async with CosmosStore(plain.endpoint, database=DATABASE, credential=KEY):
                fake.databases = plain.databases
            yield {
                "COSMOS_ENDPOINT": fake.endpoint,
                "COSMOS_DATABASE": DATABASE,
                "SSL_CERT_FILE": str(folder / "server.pem"),
                "IDENTITY_ENDPOINT": f"http://127.0.0.1:{runner.addresses[0][1]}/token",
                "IDENTITY_HEADER": "secret",
            }
    finally:
        await runner.cleanup()


async def bench_starts(model_url: str, data_dir: Path, extent: Extent) -> None:
    """Measure them all, in turns, and print the medians and their ratio to the plain server's."""
    await asyncio.to_thread(data_dir.mkdir)
    await asyncio.to_thread(compile_all)
    async with account(data_dir) as azure:
        kinds: dict[str, Callable[[int], Awaitable[Started]]] = {
            "plain server": lambda number: start_plain(data_dir / "plain.db", model_url, number),
            "SQLite": lambda _: start_api(data_dir / "sqlite", model_url),
            "Cosmos DB, managed identity": lambda _: start_api(data_dir / "cosmos", model_url, **azure),
        }
        if sys.version_info >= (3, 13):
            kinds["Functions' worker, SQLite"] = lambda _: start_functions(data_dir / "functions", model_url)
        taken: dict[str, list[Started]] = {kind: [] for kind in kinds}
        for number in range(extent.of(7)):
            for kind, start in kinds.items():
                taken[kind].append(await start(number))
    plain = Started(*(statistics.median(values) for values in zip(*taken["plain server"], strict=True)))
    for kind, found in taken.items():
        for index, (what, goal) in enumerate((("health", 0.45), ("the end of the first turn", 0.65))):
            median = statistics.median(each[index] for each in found)
            goal_text = f"goal x {goal:.2f}" if kind == "SQLite" else ""
            report(f"start to {what}, {kind}", median, "s", f"x {median / plain[index]:.2f}", goal_text)
