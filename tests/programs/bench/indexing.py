"""Run as a program: lets the Functions runtime index the function app in this fresh process, and prints the seconds that took.

What the host's stand-in imports for itself is in the figure, so the real one is a little better.
"""

import time

STARTED = time.perf_counter()

import asyncio  # noqa: E402 - the clock comes first
from pathlib import Path  # noqa: E402

from tests.fakes.functions_host import start_host  # noqa: E402


async def main() -> None:
    async with start_host(Path(__file__).parents[3], "function_app.py"):
        print(time.perf_counter() - STARTED)


if __name__ == "__main__":
    asyncio.run(main())
