"""Run as a program: starts the function app in the Functions runtime, in this fresh process, and asks it for its first turn.

Its argument is when it was started, by the machine's clock. It prints the seconds until health answered, those until the end
of the turn, and those of CPU. What the host's stand-in imports for itself is in them: the real host is another process.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx2

from tests.fakes.functions_host import start_host
from tests.programs.bench.report import CONTENTS


async def main(begun: float) -> None:
    async with (
        start_host(Path(__file__).parents[3], "function_app.py") as host,
        httpx2.AsyncClient(transport=host, base_url="http://localhost", timeout=30) as client,
    ):
        (await client.get("/api/health")).raise_for_status()
        health = time.monotonic() - begun
        thread = (await client.post("/api/threads", json={})).raise_for_status().json()
        path = f"/api/threads/{thread['id']}/messages"
        (await client.post(path, json={"content": CONTENTS[0]})).raise_for_status()
        print(json.dumps([health, time.monotonic() - begun, time.process_time()]))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
