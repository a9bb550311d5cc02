"""``make soak``: 32 clients for a minute on each store, then 200 streams: no error, no growth of memory."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from tests.fakes.cosmos import KEY, FakeCosmos
from tests.programs.bench import processes
from tests.programs.bench.load import Client, throughput
from tests.programs.bench.streaming import streams, threads

CLIENTS = 32
STREAMS = 200
WARM_UP_SECONDS = 15
# Until then the histories that are read grow with every turn, and memory with them: a slow store needs longer.
WARM_UP_TURNS = CLIENTS * 25
# What an allocator may keep after a minute of load, and after 200 streams that were open at once.
GROWTH_MB = (10, 40)
QUESTION = b'{"content": "Tide and a tip, please [2 tools]"}'


async def soak(store: str, seconds: float) -> bool:
    """Load a server on a store; tell whether all was well. Any answer but 200 ends the run."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model_url = await stack.enter_async_context(processes.fake_model())
        environment = {}
        if store == "cosmos":
            fake = await stack.enter_async_context(FakeCosmos())
            environment = {"COSMOS_ENDPOINT": fake.endpoint, "COSMOS_KEY": KEY}
        url, process = await stack.enter_async_context(processes.api(folder, model_url, **environment))
        paths = await threads(url, CLIENTS)
        turns = 0.0
        while turns < WARM_UP_TURNS:
            turns += WARM_UP_SECONDS * await throughput(
                url, paths.__getitem__, QUESTION, clients=CLIENTS, seconds=WARM_UP_SECONDS
            )
        memory = [processes.rss_mb(process)]
        rate = await throughput(url, paths.__getitem__, QUESTION, clients=CLIENTS, seconds=seconds)
        memory.append(processes.rss_mb(process))
        ours = await streams(url, await threads(url, STREAMS), rounds=2, tokens=80, milliseconds=50)
        memory.append(processes.rss_mb(process))
        async with Client(url) as client:
            await client.json("GET", "/api/health")
    print(
        f"{store}: {rate:.0f} turns/s with two tools for {seconds:g} s; {len(ours.first)} streams, {ours.broken} broken; "
        f"memory {memory[0]:.0f} MB warm, {memory[1]:.0f} after the load, {memory[2]:.0f} after the streams"
    )
    grown = [later - earlier for earlier, later in itertools.pairwise(memory)]
    return ours.broken == 0 and all(mb <= most for mb, most in zip(grown, GROWTH_MB, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.bench.soak")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--store", choices=["sqlite", "cosmos"], action="append")
    given = parser.parse_args()
    well = [asyncio.run(soak(store, given.seconds)) for store in given.store or ("sqlite", "cosmos")]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
