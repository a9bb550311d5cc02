"""One run: starts everything, lets clients talk while things go wrong, then calms down and verifies."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.cosmos import KEY, FakeCosmos
from tests.programs.chaos import processes, raw_store, redis_faults, sqlite_faults
from tests.programs.chaos.caller import Caller, api_keys, http_session
from tests.programs.chaos.clients import Client
from tests.programs.chaos.cosmos_faults import CosmosFaults
from tests.programs.chaos.invariants import Found
from tests.programs.chaos.journal import Journal
from tests.programs.chaos.model import ChaosModel
from tests.programs.chaos.plan import (
    APPROVAL_SECONDS,
    CLOCK_SHIFTS,
    EVENT_TTL_SECONDS,
    LEASE_SECONDS,
    MODEL_TIMEOUT_SECONDS,
    TOOL_TIMEOUT_SECONDS,
    TURN_TIMEOUT_SECONDS,
    Plan,
)
from tests.programs.chaos.till import VARIABLE, check_till
from tests.programs.chaos.verification import Verification
from tests.support.assistant_folder import FOLDER


@dataclass
class Store:
    """The store of a run: how servers find it, how it goes wrong, and what must hold in it."""

    environment: dict[str, str]
    disturb: Coroutine[Any, Any, None]
    fake: FakeCosmos | None
    path: Path

    def check(self, journal: Journal) -> Found:
        """Say what does not hold."""
        if self.fake:
            return raw_store.check_cosmos(self.fake, journal.conversations)
        return raw_store.check_sqlite(self.path, journal.conversations)


@asynccontextmanager
async def _store(plan: Plan, folder: Path) -> AsyncIterator[Store]:
    data = folder / "data"
    if plan.store == "cosmos":
        async with FakeCosmos() as fake:
            environment = {"COSMOS_ENDPOINT": fake.endpoint, "COSMOS_KEY": KEY}
            yield Store(environment, CosmosFaults(fake, plan).disturb(), fake, data)
        return
    async with sqlite_faults.small_disk(data) as own_disk:
        if not own_disk:
            print("  no small disk can be made here: it will not be full")
        disturb = sqlite_faults.disturb(data, plan, own_disk=own_disk)
        yield Store({"DATA_DIR": str(data)}, disturb, None, data / "chat.db")


def _environment(model: ChaosModel) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"{model.url}/v1",
        "OPENAI_MODEL": "chaos",
        "ASSISTANT_DIR": str(FOLDER),
        "API_KEYS": api_keys(),
        "TURN_LEASE_SECONDS": str(LEASE_SECONDS),
        "TURN_TIMEOUT_SECONDS": str(TURN_TIMEOUT_SECONDS),
        "MODEL_TIMEOUT_SECONDS": str(MODEL_TIMEOUT_SECONDS),
        "TOOL_TIMEOUT_SECONDS": str(TOOL_TIMEOUT_SECONDS),
        "EVENT_TTL_SECONDS": str(EVENT_TTL_SECONDS),
        "APPROVAL_TTL_SECONDS": str(APPROVAL_SECONDS),
    }


async def run(plan: Plan, folder: Path) -> tuple[Journal, float]:
    """Do a run; return what was found, and the seconds that things went wrong for."""
    journal = Journal()
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(ChaosModel(plan))
        store = await stack.enter_async_context(_store(plan, folder))
        redis = await stack.enter_async_context(redis_faults.open_redis(folder))
        till = folder / "till.jsonl"
        environment = _environment(model) | {VARIABLE: str(till)} | store.environment | redis_faults.environment(redis)
        servers = [processes.Server(n, shift, environment, folder) for n, shift in enumerate(CLOCK_SHIFTS, 1)]
        session = await stack.enter_async_context(http_session())
        plan.calm = True
        await stack.enter_async_context(processes.running(servers))
        plan.calm = False
        clients = [Client(number, plan, journal, session, servers) for number in range(plan.clients)]
        started = time.monotonic()
        disturbances = [processes.disturb(servers, plan), store.disturb, redis_faults.disturb(redis, plan)]
        await _until_calm(plan, disturbances, [client.run() for client in clients])
        seconds = time.monotonic() - started
        await asyncio.gather(*(server.until_listening() for server in servers))
        await Verification(Caller(session, servers, plan.random("verification")), journal).run()
        for kind, what in (*store.check(journal), *check_till(till, journal.approved)):
            journal.find(kind, what)
    for server in servers:
        _look_into(server, journal)
    return journal, seconds


async def _until_calm(
    plan: Plan, disturbances: list[Coroutine[Any, Any, None]], clients: list[Coroutine[Any, Any, None]]
) -> None:
    """Let everything go on for the run's time, then end the faults, then the clients at their own pace."""
    async with asyncio.TaskGroup() as group:
        disturbing = [group.create_task(each) for each in disturbances]
        for client in clients:
            group.create_task(client)
        await asyncio.sleep(plan.seconds)
        plan.calm = True
        for task in disturbing:
            task.cancel()


def _look_into(server: processes.Server, journal: Journal) -> None:
    """Look for errors in a server's log that its callers may not have seen."""
    log = server.log.read_text(errors="replace")
    for sign in ("internal_error", "was never retrieved", "was never awaited", "request req_"):
        if count := log.count(sign):
            journal.find("error", f"{count} times {sign!r} in {server.log}")


def scratch() -> Path:
    """Return a new folder for a run's files, kept for whoever looks into what went wrong."""
    return Path(tempfile.mkdtemp(prefix="chaos-"))
