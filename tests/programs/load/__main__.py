"""``make load``: Locust against a server on this machine, or the one at ``BASE_URL``, judged by config.yaml beside it.

``LOAD_USERS`` (20) users for ``LOAD_SECONDS`` (30). The server here has the offline model, so what is measured is the API.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.programs.bench import processes

FOLDER = Path(__file__).parent
OURS = "SSE"


def percentile(entries: list[dict[str, Any]], share: float) -> float:
    """Return the milliseconds within which a share of the requests was answered; infinity if none was."""
    times: Counter[float] = Counter()
    for entry in entries:
        times.update({float(time): count for time, count in entry["response_times"].items()})
    ordered = sorted(times.elements())
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")


def summarize(entries: list[dict[str, Any]]) -> dict[str, float]:
    """Return what the criteria of Azure Load Testing are about, over all requests."""
    requests = [entry for entry in entries if entry["method"] != OURS]
    sent = sum(entry["num_requests"] for entry in requests)
    failed = sum(entry["num_failures"] for entry in requests)
    return {
        "percentage(error)": 100 * failed / sent if sent else 100.0,
        "p95(response_time_ms)": percentile(requests, 0.95),
    }


def table(entries: list[dict[str, Any]]) -> str:
    """Return a line for each kind of request: how many, how many failed, and milliseconds."""
    lines = [f"{'':<50} {'requests':>8} {'failures':>8} {'median':>8} {'p95':>8}"]
    for entry in sorted(entries, key=lambda entry: str(entry["name"])):
        figures = f"{entry['num_requests']:>8} {entry['num_failures']:>8}"
        lines.append(f"{entry['name']:<50} {figures} {percentile([entry], 0.5):>8.0f} {percentile([entry], 0.95):>8.0f}")
    return "\n".join(lines)


def criteria() -> dict[str, float]:
    """Return the limits in config.yaml, by what they limit."""
    text = (FOLDER / "config.yaml").read_text()
    found = re.findall(r"^  - (\S+\(\w+\)) > (\d+)$", text.partition("failureCriteria:")[2], re.MULTILINE)
    return {name: float(limit) for name, limit in found}


def judge(measured: dict[str, float]) -> list[str]:
    """Return the criteria that are not met."""
    return [f"{name} is {measured[name]:.1f}, over {limit:g}" for name, limit in criteria().items() if measured[name] > limit]


async def run_locust(locust: str, base_url: str, report: Path) -> None:
    """Run Locust and let it write its figures to a file."""
    process = await asyncio.create_subprocess_exec(
        *(locust, "--locustfile", FOLDER / "locustfile.py", "--headless", "--only-summary", "--host", base_url),
        *("--users", os.environ.get("LOAD_USERS", "20"), "--spawn-rate", "10"),
        *("--run-time", f"{os.environ.get('LOAD_SECONDS', '30')}s", "--stop-timeout", "10", "--exit-code-on-error", "0"),
        *("--json-file", report.with_suffix("")),  # it appends .json
        cwd=report.parent,
    )
    if await process.wait():
        raise RuntimeError(f"Locust ended with {process.returncode}")


async def main(locust: str) -> int:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base_url = os.environ.get("BASE_URL")
        if base_url is None:
            port = processes.free_port()
            settings = {"PORT": str(port), "DATA_DIR": str(folder)}
            server = processes.program(sys.executable, "local.py", port=port, environment=settings, logs=False)
            await stack.enter_async_context(server)
            base_url = f"http://127.0.0.1:{port}"
        report = folder / "report.json"
        await run_locust(locust, base_url, report)
        entries = json.loads(await asyncio.to_thread(report.read_text))
        measured = summarize(entries)
    print(table(entries))
    for name, value in measured.items():
        print(f"{name:<24} {value:>8.1f}   limit {criteria()[name]:g}")
    failed = judge(measured)
    print(*failed, sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(str(Path(sys.argv[1]).absolute()))))
