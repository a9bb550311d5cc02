"""The way to the model beside the plain server's, in one run: what each row of docs/performance.md's table is, but for starts.

Each figure comes with its ratio to the plain server's, which travels from machine to machine. CPU is that of the whole process,
as the kernel counts it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from tests.programs.bench import processes
from tests.programs.bench.extent import Extent
from tests.programs.bench.load import Client, latencies, throughput
from tests.programs.bench.report import CONTENTS, report
from tests.programs.bench.streaming import question, streams

MEMORY_SECONDS = 10


class Sides(NamedTuple):
    """A figure of the plain server, and ours."""

    plain: float
    ours: float


def tell(name: str, sides: Sides, unit: str, goal: float) -> None:
    """Print a row of the table; ``goal`` is for the ratio."""
    ratio = sides.ours / sides.plain if sides.plain > 0 else float("nan")
    report(name, sides.ours, unit, f"x {ratio:.2f}", f"plain {sides.plain:.2f}; goal x {goal:.2f}")


async def bench_yardstick(model_url: str, data_dir: Path, extent: Extent) -> None:
    """Measure the table."""
    async with (
        processes.plain(model_url, data_dir / "yardstick.db") as (plain_url, plain),
        processes.api(data_dir / "yardstick", model_url) as (api_url, ours),
        processes.forwarder(model_url) as floor_url,
    ):

        async def threads(count: int) -> tuple[list[str], list[str]]:
            async with Client(api_url) as client:
                made = [(await client.json("POST", "/api/threads", {}))["id"] for _ in range(count)]
            return [f"/{time.time_ns()}-{each}" for each in range(count)], [f"/api/threads/{id}/messages" for id in made]

        for tools, goal in ((0, 0.60), (2, 0.45)):
            body = json.dumps({"content": CONTENTS[tools]}).encode()
            figures = []
            for url, paths, process in zip((plain_url, api_url), await threads(20), (plain, ours), strict=True):
                async with Client(url) as client:
                    for path in paths:
                        await latencies(client, path, body, extent.of(5))
                    before, count = processes.cpu_ms(process), extent.of(40, least=2)
                    for path in paths:
                        await latencies(client, path, body, count)
                    figures.append((processes.cpu_ms(process) - before) / (count * len(paths)))
            tell(f"CPU of a turn, {tools} tools", Sides(*figures), "ms", goal)
        await bench_streams((plain_url, api_url, floor_url), threads, extent)
        body = json.dumps({"content": CONTENTS[2]}).encode()
        seconds = extent.of(MEMORY_SECONDS)
        for url, paths in zip((plain_url, api_url), await threads(32), strict=True):
            await throughput(url, paths.__getitem__, body, clients=32, seconds=seconds)
        tell("memory under load", Sides(processes.rss_mb(plain), processes.rss_mb(ours)), "MB", 95 / 85)


async def bench_streams(
    urls: tuple[str, str, str], threads: Callable[[int], Awaitable[tuple[list[str], list[str]]]], extent: Extent
) -> None:
    """Measure streams: 50 pieces without a pause from start to end, and the first text over the forwarder's."""
    plain_url, api_url, floor_url = urls
    figures = []
    for url, paths in zip((plain_url, api_url), await threads(10), strict=True):
        taken = []
        async with Client(url) as client:
            for path in paths * extent.of(10):
                start = time.perf_counter()
                async for _ in client.stream(path, question(50, 0)):
                    pass
                taken.append((time.perf_counter() - start) * 1000)
        figures.append(statistics.median(taken))
    tell("a streamed turn of 50 pieces", Sides(*figures), "ms", 0.40)
    # With 64 the plain server's core is full, as it was with 32 where the goal was set.
    for clients, goal in ((1, 0.70), (32, 0.10), (64, 0.10)):
        rounds = extent.of(30 if clients == 1 else 6)
        firsts = []
        for url, paths in zip((floor_url, plain_url, api_url), (["/"] * clients, *await threads(clients)), strict=True):
            await streams(url, paths, rounds=1, tokens=5, milliseconds=1)
            firsts.append(statistics.median((await streams(url, paths, rounds=rounds, tokens=50, milliseconds=10)).first))
        floor, plain, ours = firsts
        tell(f"first text over the model's own, {clients} streams", Sides(plain - floor, ours - floor), "ms", goal)
