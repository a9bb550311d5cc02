"""Streams: how long the first text takes, what is added between tokens, and two hundred streams at once.

The model's tokens say when they were sent (the clock is the same in all processes), so each one's way to the client is known.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.programs.bench import processes
from tests.programs.bench.extent import Extent
from tests.programs.bench.load import Client

TOKEN = re.compile(rb"t(\d{10,}) ")
Report = Callable[[str, float, str, str, str], None]


@dataclass
class Times:
    """Milliseconds: from the request to the first text, and of each token's way."""

    first: list[float] = field(default_factory=list)
    ways: list[float] = field(default_factory=list)
    broken: int = 0


def question(tokens: int, milliseconds: int) -> bytes:
    return json.dumps({"content": f"Please [{tokens} tokens, {milliseconds} ms]"}).encode()


async def read(client: Client, path: str, tokens: int, milliseconds: int, times: Times) -> None:
    """Read one stream to its end."""
    start, seen = time.monotonic_ns(), 0
    async for chunk in client.stream(path, question(tokens, milliseconds)):
        now = time.monotonic_ns()
        # The final event repeats the text.
        sent = [] if seen == tokens else TOKEN.findall(chunk.partition(b"message.completed")[0])
        if sent and not seen:
            times.first.append((now - start) / 1e6)
        seen += len(sent)
        times.ways += [(now - int(each)) / 1e6 for each in sent]
    times.broken += seen != tokens


async def streams(base_url: str, paths: list[str], *, rounds: int, tokens: int, milliseconds: int) -> Times:
    """Read ``rounds`` streams on each path, one after another, all paths at the same time but not in step."""
    times = Times()

    async def work(path: str) -> None:
        async with Client(base_url) as client:
            for _ in range(rounds):
                await asyncio.sleep(random.random() * tokens * milliseconds / 1000)
                await read(client, path, tokens, milliseconds, times)

    await asyncio.gather(*map(work, paths))
    return times


async def threads(api_url: str, count: int) -> list[str]:
    async with Client(api_url) as client:
        made = [(await client.json("POST", "/api/threads", {}))["id"] for _ in range(count)]
    return [f"/api/threads/{thread}/messages" for thread in made]


async def bench_streaming(model_url: str, data_dir: Path, report: Report, extent: Extent) -> None:
    """Measure the API's streams beside the bare forwarder's."""
    async with processes.forwarder(model_url) as floor_url, processes.api(data_dir, model_url) as (api_url, process):
        for clients, target in ((1, 5), (32, 25)):
            paths = await threads(api_url, clients)
            await streams(api_url, paths, rounds=1, tokens=5, milliseconds=1)
            rounds = extent.of(20 if clients == 1 else 4)
            floor = await streams(floor_url, ["/"] * clients, rounds=rounds, tokens=50, milliseconds=10)
            ours = await streams(api_url, paths, rounds=rounds, tokens=50, milliseconds=10)
            note = f"forwarder {statistics.median(floor.first):.2f}; p95 {percentile(ours.first, 95):.1f}"
            added = statistics.median(ours.first) - statistics.median(floor.first)
            report(f"time to first text, {clients} clients: added", added, "ms", f"< {target}", note)
            added = statistics.median(ours.ways) - statistics.median(floor.ways)
            note = f"forwarder {statistics.median(floor.ways):.2f}; p95 {percentile(ours.ways, 95):.1f}"
            report(f"a token's way at 10 ms a token, {clients} clients: added", added, "ms", "< 2", note)
        count = extent.of(200)
        paths = await threads(api_url, count)
        ours = await streams(api_url, paths, rounds=2, tokens=extent.of(80, least=2), milliseconds=50)
        report(f"{count} streams at 20 tokens/s: broken", ours.broken, "", "0", f"of {len(ours.first)}")
        note = f"first text {statistics.median(ours.first):.0f}, p95 {percentile(ours.first, 95):.0f}"
        report(f"{count} streams: a token's way, p95", percentile(ours.ways, 95), "ms", "", note)
        report(f"{count} streams: memory", processes.rss_mb(process), "MB", "< 400", "")


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]
