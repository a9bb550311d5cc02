"""The servers of a run: real processes, started again whenever they end, and killed, stopped and asked to go by chance."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.programs.bench.processes import ROOT, free_port
from tests.programs.chaos.plan import LEASE_SECONDS, Plan

RESTART_SECONDS = 0.2


class Server:
    """One server, at the same address whenever it runs."""

    def __init__(self, number: int, clock_shift: float, environment: dict[str, str], folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"server-{number}.log"
        self._command = (sys.executable, "-m", "tests.programs.chaos.launcher", str(clock_shift))
        self._environment = {**os.environ, **environment, "PORT": str(self.port)}
        self._process: asyncio.subprocess.Process | None = None

    async def keep_running(self) -> None:
        """Run, and start again after each end, until cancelled."""
        with self.log.open("ab") as log:
            try:
                while True:
                    self._process = await asyncio.create_subprocess_exec(
                        *self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
                    )
                    await self._process.wait()
                    await asyncio.sleep(RESTART_SECONDS)
            finally:
                if self._process and self._process.returncode is None:
                    self._process.kill()
                    await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process lives."""
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def until_listening(self) -> None:
        """Wait until it takes connections."""
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running(servers: list[Server]) -> AsyncIterator[None]:
    """Keep the servers running meanwhile."""
    tasks = [asyncio.create_task(server.keep_running()) for server in servers]
    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(server.until_listening() for server in servers))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def disturb(servers: list[Server], plan: Plan) -> None:
    """Do to the servers what happens to servers, one at a time, until cancelled; then let all run."""
    chance = plan.random("processes")
    try:
        while True:
            await asyncio.sleep(chance.uniform(1, 5))
            await _disturb_one(chance.choice(servers), chance, plan)
    finally:
        for server in servers:
            server.signal(signal.SIGCONT)


async def _disturb_one(server: Server, chance: random.Random, plan: Plan) -> None:
    dice = chance.random()
    if dice < 0.5:
        plan.inject("process: kill -9, restart")
        server.signal(signal.SIGKILL)
    elif dice < 0.65:
        plan.inject("process: asked to stop, restart")
        server.signal(signal.SIGTERM)
    else:
        # Longer than its lease: it wakes up and believes to hold what another may have taken.
        plan.inject("process: frozen past its lease")
        server.signal(signal.SIGSTOP)
        await asyncio.sleep(chance.uniform(0.8, 2.5) * LEASE_SECONDS)
        server.signal(signal.SIGCONT)
