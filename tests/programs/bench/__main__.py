"""`make bench`: overhead, throughput, memory, cold start and what a turn costs on Cosmos DB, against a model without delay.

Absolute figures differ from machine to machine. Two yardsticks run beside the API in the same minutes: a bare ASGI forwarder
(the floor) and a plain server as one would write it by hand (``plain.py``). The ratio to the plain one travels best.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from models import Message, Owner, message_id, new_id, utcnow
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage, ReplayedTurn, TurnEnd
from tests.programs.bench import processes
from tests.programs.bench.cosmos import bench_cosmos
from tests.programs.bench.extent import FULL, SHORT, Extent
from tests.programs.bench.forwarder import request_body
from tests.programs.bench.guards import bench_guards
from tests.programs.bench.load import Client, latencies, median_latency, throughput
from tests.programs.bench.report import CONTENTS, report
from tests.programs.bench.starts import bench_starts
from tests.programs.bench.streaming import bench_streaming
from tests.programs.bench.telemetry import bench_telemetry
from tests.programs.bench.yardstick import bench_yardstick

TARGETS = {0: (2.5, 400.0), 2: (5.0, 180.0)}
LOCAL = Owner("local", "local")


def body(tools: int) -> bytes:
    return json.dumps({"content": CONTENTS[tools]}).encode()


async def new_threads(api_url: str, count: int) -> list[str]:
    async with Client(api_url) as client:
        return [(await client.json("POST", "/api/threads", {}))["id"] for _ in range(count)]


async def model_time(model_url: str, tools: int, extent: Extent) -> float:
    """Return the model's own milliseconds in a turn."""
    calls = [request_body(CONTENTS[tools])]
    if tools:
        calls.append(request_body(CONTENTS[tools], answered=True))
    return sum([await median_latency(model_url, "/v1/chat/completions", call, extent.of(300)) for call in calls])


async def bench_turns(model_url: str, data_dir: Path, extent: Extent) -> None:
    async with (
        processes.forwarder(model_url) as floor_url,
        processes.plain(model_url, data_dir / "plain.db") as (plain_url, _),
        processes.api(data_dir, model_url) as (api_url, process),
    ):
        for tools in CONTENTS:
            rounds = [await overheads(model_url, floor_url, plain_url, api_url, tools, extent) for _ in range(extent.of(3))]
            floor, plain, ours = (statistics.median(values) for values in zip(*rounds, strict=True))
            note = f"forwarder {floor:.2f}, plain server {plain:.2f}, ratio to it {ours / plain:.2f}"
            report(f"turn, {tools} tools, 1 client: overhead", ours, "ms", f"< {TARGETS[tools][0]}", note)
        for tools in CONTENTS:
            paths = [f"/api/threads/{thread}/messages" for thread in await new_threads(api_url, 32)]
            names = [f"/{tools}-{number}" for number in range(32)]
            floor = await throughput(floor_url, names.__getitem__, body(tools), clients=32, seconds=extent.of(4))
            plain = await throughput(plain_url, names.__getitem__, body(tools), clients=32, seconds=extent.of(8))
            ours = await throughput(api_url, paths.__getitem__, body(tools), clients=32, seconds=extent.of(8))
            note = f"forwarder {floor:.0f}, plain server {plain:.0f}, ratio to it {ours / plain:.2f}"
            report(f"turns a second, {tools} tools, 32 clients", ours, "/s", f"> {TARGETS[tools][1]:.0f}", note)
        report("memory under load", processes.rss_mb(process), "MB", "< 180")


async def overheads(
    model_url: str, floor_url: str, plain_url: str, api_url: str, tools: int, extent: Extent
) -> tuple[float, float, float]:
    """Return the milliseconds that the forwarder, the plain server and the API add to the model's own, in fresh threads."""
    own = await model_time(model_url, tools, extent)
    taken = []
    for base_url in (floor_url, plain_url, api_url):
        async with Client(base_url) as client:
            values: list[float] = []
            for number in range(extent.of(20, least=3)):
                path = f"/{tools}-{time.time_ns()}-{number}"
                if base_url == api_url:
                    path = f"/api/threads/{(await client.json('POST', '/api/threads', {}))['id']}/messages"
                values += await latencies(client, path, body(tools), 10)
            taken.append(statistics.median(values[20:]) - own)
    floor, plain, ours = taken
    return floor, plain, ours


async def seed(data_dir: Path, length: int) -> str:
    """Make a thread with ``length`` messages."""
    async with SqliteStore(data_dir / "chat.db") as store:
        thread = await store.create_thread(LOCAL, title=None, metadata={})
        for _ in range(length // 2):
            turn = await store.begin_turn(
                LOCAL, thread.id, NewMessage(new_id("turn"), CONTENTS[0], {}), lease_seconds=30, history_limit=0
            )
            if isinstance(turn, ReplayedTurn):
                raise RuntimeError("no key was used")
            reply = Message(
                id=message_id(thread.id, turn.reply_seq),
                thread_id=thread.id,
                seq=turn.reply_seq,
                role="assistant",
                content="A short answer.",
                timestamp=utcnow(),
                status="completed",
                turn_id=turn.turn_id,
            )
            message = turn.message.model_copy(update={"status": "completed"})
            await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9))
    return thread.id


async def bench_long_threads(model_url: str, data_dir: Path, extent: Extent) -> None:
    async with processes.api(data_dir, model_url) as (api_url, _):
        medians: dict[int, list[float]] = {2: [], 2000: []}
        async with Client(api_url) as client:
            # Interleaved, and a fresh short thread every time, so that both see the same machine.
            long = await seed(data_dir, 2000)
            await latencies(client, f"/api/threads/{long}/messages", body(0), 30)
            for _ in range(extent.of(300)):
                short = await seed(data_dir, 2)
                for length, thread in ((2, short), (2000, long)):
                    medians[length] += await latencies(client, f"/api/threads/{thread}/messages", body(0), 1)
        short_ms, long_ms = (statistics.median(medians[length]) for length in (2, 2000))
        report("turn in a thread of 2 messages", short_ms, "ms", "")
        report("turn in a thread of 2,000 messages", long_ms, "ms", "", f"{(long_ms / short_ms - 1) * 100:+.0f} % (target 15)")


async def bench_ready(model_url: str, data_dir: Path, extent: Extent) -> None:
    async with processes.api(data_dir, model_url) as (api_url, _), Client(api_url) as client:
        while (await client.request("GET", "/api/ready"))[0] != 200:
            pass
        taken = []
        for _ in range(extent.of(500)):
            start = time.perf_counter()
            await client.json("GET", "/api/ready")
            taken.append((time.perf_counter() - start) * 1000)
        report("/api/ready, cached", statistics.median(taken), "ms", "< 5", f"99th percentile {sorted(taken)[-5]:.2f}")


async def bench_memory(model_url: str, data_dir: Path, extent: Extent) -> None:
    warm, all_turns = extent.of(500), extent.of(5000)
    async with processes.api(data_dir, model_url) as (api_url, process):
        threads = await new_threads(api_url, 100)
        used = []
        async with Client(api_url) as client:
            for number in range(all_turns):
                await latencies(client, f"/api/threads/{threads[number % 100]}/messages", body(2), 1)
                if number + 1 in (warm, all_turns):
                    used.append(processes.rss_mb(process))
        report(f"memory after {warm:,} turns", used[0], "MB", "")
        report(f"memory after {all_turns:,} turns", used[1], "MB", f"< {used[0] + 20:.0f}")


async def bench_cold_start(model_url: str, data_dir: Path, extent: Extent) -> None:
    health, turn = [], []
    for _ in range(extent.of(7)):
        port = processes.free_port()
        start = time.perf_counter()
        environment = processes.api_environment(port, data_dir, model_url)
        async with (
            processes.program("make", "run", port=port, environment=environment, logs=False),
            Client(f"http://127.0.0.1:{port}") as client,
        ):
            await client.json("GET", "/api/health")
            health.append(time.perf_counter() - start)
            thread = await client.json("POST", "/api/threads", {})
            await client.json("POST", f"/api/threads/{thread['id']}/messages", {"content": CONTENTS[2]})
            turn.append(time.perf_counter() - start)
    report("`make run` to the first 200 on /api/health", statistics.median(health), "s", "< 0.8")
    report("`make run` to the end of the first turn", statistics.median(turn), "s", "< 1.5")


async def bench_indexing(extent: Extent) -> None:
    taken = []
    for _ in range(extent.of(5)):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.programs.bench.indexing",
            cwd=processes.ROOT,
            env={**os.environ, "ALLOW_ANONYMOUS_LOCAL": "true"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"function_app is not indexed:\n{errors.decode()}")
        taken.append(float(output))
    report("function_app indexed by the runtime", statistics.median(taken), "s", "< 1.5")


async def main(extent: Extent) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with processes.fake_model() as model_url:
            data_dir = Path(folder)
            await bench_starts(model_url, data_dir, extent)
            await bench_yardstick(model_url, data_dir, extent)
            await bench_turns(model_url, data_dir, extent)
            await bench_streaming(model_url, data_dir, report, extent)
            await bench_guards(model_url, data_dir, report, extent)
            await bench_telemetry(model_url, data_dir, report, extent)
            await bench_cosmos(model_url, data_dir)
            await bench_long_threads(model_url, data_dir, extent)
            await bench_ready(model_url, data_dir, extent)
            await bench_memory(model_url, data_dir, extent)
            await bench_cold_start(model_url, data_dir, extent)
        if sys.version_info >= (3, 13):
            await bench_indexing(extent)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.programs.bench")
    parser.add_argument("--short", action="store_true", help="a round or two of each part: it works, whatever the figures")
    asyncio.run(main(SHORT if parser.parse_args().short else FULL))
