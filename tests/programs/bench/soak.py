"""``make soak``: 32 clients for a minute on each store, then 200 streams: no error, no growth of memory."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.cosmos import KEY, FakeCosmos
from tests.programs.bench import processes
from tests.programs.bench.load import Client, throughput
from tests.programs.bench.streaming import streams, threads

CLIENTS = 32
# What an allocator may keep after a minute of load, and after 200 streams that were open at once.
GROWTH_MB = (10, 40)
QUESTION = b'{"content": "Tide and a tip, please [2 tools]"}'


@dataclass(frozen=True)
class Plan:
    """How long the load lasts, how long and for how many turns it is warmed up before, and how many streams follow."""

    seconds: float = 60
    warm_up_seconds: float = 15
    # Until then the histories that are read grow with every turn, and memory with them: a slow store needs longer.
    warm_up_turns: int = CLIENTS * 25
    streams: int = 200


FULL, SHORT = Plan(), Plan(seconds=5, warm_up_seconds=3, warm_up_turns=CLIENTS, streams=40)


@dataclass(frozen=True)
class Outcome:
    """What was measured: the server's memory in MB when it was warm, after the load and after the streams."""

    store: str
    memory: tuple[float, float, float]
    broken: int


def judge(outcome: Outcome) -> list[str]:
    """Return what is not as it should be, and by how much."""
    warm, loaded, streamed = outcome.memory
    grown = (("the load", loaded - warm), ("the streams", streamed - loaded))
    failed = [
        f"{outcome.store}: memory has grown by {mb:.1f} MB in {what}, over the limit of {limit} MB"
        for (what, mb), limit in zip(grown, GROWTH_MB, strict=True)
        if mb > limit
    ]
    return failed + ([f"{outcome.store}: {outcome.broken} streams broken, of which none may be"] if outcome.broken else [])


async def soak(store: str, plan: Plan) -> Outcome:
    """Load a server on a store. Any answer but 200 ends the run with an error that shows it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model_url = await stack.enter_async_context(processes.fake_model())
        environment = {}
        if store == "cosmos":
            fake = await stack.enter_async_context(FakeCosmos())
            environment = {"COSMOS_ENDPOINT": fake.endpoint, "COSMOS_KEY": KEY}
        url, process = await stack.enter_async_context(processes.api(folder, model_url, **environment))
        paths = await threads(url, CLIENTS)

        async def load(seconds: float) -> float:
            return await throughput(url, paths.__getitem__, QUESTION, clients=CLIENTS, seconds=seconds)

        turns = 0.0
        while turns < plan.warm_up_turns:
            turns += plan.warm_up_seconds * await load(plan.warm_up_seconds)
        warm = processes.rss_mb(process)
        rate = await load(plan.seconds)
        loaded = processes.rss_mb(process)
        ours = await streams(url, await threads(url, plan.streams), rounds=2, tokens=80, milliseconds=50)
        streamed = processes.rss_mb(process)
        async with Client(url) as client:
            await client.json("GET", "/api/health")
    print(
        f"{store}: {rate:.0f} turns/s with two tools for {plan.seconds:g} s; {len(ours.first)} streams, {ours.broken} broken; "
        f"memory {warm:.0f} MB warm, {loaded:.0f} after the load, {streamed:.0f} after the streams",
        flush=True,
    )
    return Outcome(store, (warm, loaded, streamed), ours.broken)


def failures(store: str, plan: Plan) -> list[str]:
    """Load a server on a store; return what was wrong."""
    try:
        return judge(asyncio.run(soak(store, plan)))
    except (RuntimeError, OSError, EOFError) as error:
        return [f"{store}: {type(error).__name__}: {error}"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.bench.soak")
    parser.add_argument("--short", action="store_true", help="some seconds instead of a minute")
    parser.add_argument("--store", choices=["sqlite", "cosmos"], action="append")
    given = parser.parse_args()
    plan = SHORT if given.short else FULL
    failed = [line for store in given.store or ("sqlite", "cosmos") for line in failures(store, plan)]
    print(*failed, sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
