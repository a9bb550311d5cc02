"""What telemetry costs: a turn with and without, side by side, and the imports when it is off.

Can be run alone: ``python -m tests.programs.bench.telemetry``.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.programs.bench import processes
from tests.programs.bench.extent import FULL, Extent
from tests.programs.bench.load import Client, latencies

Report = Callable[[str, float, str, str, str], None]
CONTENTS = {0: "Say something", 2: "Tide and a tip, please [2 tools]"}
ATTEMPTS = 60
TURNS = 10
# What the API imports anyway comes first: the rest is there for telemetry alone.
IMPORTS = """
import time
import fastapi, settings, observability.safe_logging, turns.event_log
start = time.perf_counter()
import api.request_log, stores.telemetry, turns.telemetry
print(time.perf_counter() - start)
"""


async def bench_telemetry(model_url: str, data_dir: Path, report: Report, extent: Extent = FULL) -> None:
    """Measure in short rounds that take turns, so that both see the same machine."""
    attempts = extent.of(ATTEMPTS, least=2)
    async with (
        processes.collector() as collector_url,
        processes.api(data_dir / "off", model_url) as (off_url, _),
        processes.api(data_dir / "on", model_url, OTEL_EXPORTER_OTLP_ENDPOINT=collector_url) as (on_url, _),
        Client(off_url) as off,
        Client(on_url) as on,
    ):
        for tools, content in CONTENTS.items():
            taken: dict[Client, list[float]] = {off: [], on: []}
            body = json.dumps({"content": content}).encode()
            for number in range(attempts):
                for client in (off, on) if number % 2 else (on, off):
                    thread = (await client.json("POST", "/api/threads", {}))["id"]
                    # The first rounds warm up.
                    values = await latencies(client, f"/api/threads/{thread}/messages", body, TURNS)
                    taken[client] += values if number >= attempts // 6 else []
            without, within = (statistics.median(taken[client]) for client in (off, on))
            note = f"{without:.2f} without, {within:.2f} with"
            report(f"telemetry, {tools} tools: added to a turn", within - without, "ms", "< 1", note)
    report("telemetry off: added to the imports", await import_seconds(extent.of(9)) * 1000, "ms", "< 10", "")


async def import_seconds(runs: int) -> float:
    """Return the median of what telemetry's modules add to the API's imports."""
    taken = []
    for _ in range(runs):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", IMPORTS, cwd=processes.ROOT, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        taken.append(float(output))
    return statistics.median(taken)


async def main() -> None:
    def report(name: str, value: float, unit: str, target: str, note: str) -> None:
        print(f"{name:<52} {value:>9.2f} {unit:<8} {target:<12} {note}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        async with processes.fake_model() as model_url:
            await bench_telemetry(model_url, Path(folder), report)


if __name__ == "__main__":
    asyncio.run(main())
