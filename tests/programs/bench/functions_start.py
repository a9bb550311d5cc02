"""One start of the Functions worker with the app: prints the seconds to health and to the end of the first turn.

``python -m tests.programs.bench.functions_start START``, where START is when the process was started, on the monotonic clock.
The stand-in for the host is in the same process: its imports count, too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx2

from tests.fakes.functions_host import start_host
from tests.programs.bench.processes import ROOT
from tests.programs.bench.report import CONTENTS


async def main(start: float) -> list[float]:
    """Start it, and have a turn."""
    async with (
        start_host(ROOT, "function_app.py") as host,
        httpx2.AsyncClient(transport=host, base_url="http://localhost", timeout=20) as client,
    ):
        assert (await client.get("/api/health")).status_code == 200
        health = time.perf_counter() - start
        thread = (await client.post("/api/threads", json={})).json()["id"]
        answer = await client.post(f"/api/threads/{thread}/messages", json={"content": CONTENTS[0]})
        assert answer.status_code == 200, answer.text
        return [health, time.perf_counter() - start]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(float(sys.argv[1])))))
