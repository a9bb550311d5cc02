"""Cosmos DB: requests and request units of a turn, by the fake account's charges.

The figures are exact and the same on every machine. A busy thread is asked again as soon as it has answered; a quiet one is
asked once, long after its last turn. All that a turn leaves to be written later is counted, up to the end of the process.

``python -m tests.programs.bench.cosmos`` measures this alone.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_requests import Logged
from tests.programs.bench import processes
from tests.programs.bench.load import Client, latencies
from tests.programs.bench.report import CONTENTS, report

LENGTHS = (2, 200)
TURNS = {"busy": 20, "quiet": 1}
# Longer than anything is written behind.
QUIET_SECONDS = 7.0


async def bench_cosmos(model_url: str, data_dir: Path) -> None:
    """Measure warm turns that are answered with JSON."""
    for tools in CONTENTS:
        for length in LENGTHS:
            for kind, turns in TURNS.items():
                entries = await measured(model_url, data_dir, length=length, tools=tools, turns=turns)
                name = f"a turn on Cosmos DB, {tools} tools, {length} messages, {kind}"
                target = "< 40" if (tools, kind) == (0, "busy") else ""
                report(name, sum(each.charge for each in entries) / turns, "RU", target, parts(entries, turns))


async def measured(model_url: str, data_dir: Path, *, length: int, tools: int, turns: int) -> Sequence[Logged]:
    """Return the requests that turns cause in a thread of so many messages, of a process that knows the thread."""
    async with FakeCosmos() as cosmos:
        settings = {"COSMOS_ENDPOINT": cosmos.endpoint, "COSMOS_KEY": KEY, "COSMOS_DATABASE": "bench"}
        async with processes.api(data_dir, model_url, **settings) as (url, _):
            async with Client(url) as client:
                thread = await client.json("POST", "/api/threads", {})
                path, body = f"/api/threads/{thread['id']}/messages", json.dumps({"content": CONTENTS[tools]}).encode()
                await latencies(client, path, body, length // 2)
            await asyncio.sleep(QUIET_SECONDS)
            start = len(cosmos.log)
            async with Client(url) as client:
                await latencies(client, path, body, turns)
        return cosmos.requests(start)


def parts(entries: Sequence[Logged], turns: int) -> str:
    """Return the requests of a turn, and how they share in its charge."""
    charges: defaultdict[str, list[float]] = defaultdict(list)
    for entry in entries:
        charges[f"{entry.kind} {entry.container}"].append(entry.charge)
    shares = ", ".join(f"{len(each) / turns:.2g} {name} {sum(each) / turns:.1f}" for name, each in charges.items())
    return f"{len(entries) / turns:.2g} requests: {shares}"


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with processes.fake_model() as model_url:
            await bench_cosmos(model_url, Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
