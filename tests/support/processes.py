"""Processes at work on one SQLite file, and their turns, which go on when the test lets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from agent.agent import ChatAgent
from agent.run import RunObserver
from events import TurnEvent
from models import Owner, Thread, new_id
from quotas.backend import Counters, QuotaBackend
from quotas.quotas import Quotas
from settings import Settings
from stores.contract import ThreadStore
from stores.sqlite.store import SqliteStore
from stores.types import EventBatch, NewMessage
from tests.fakes.agent import Script, ScriptedAgent
from tests.support.turns import FAST
from turns.event_log import EventLog
from turns.intervals import TurnIntervals
from turns.service import Turns

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")


class RecordingStore(SqliteStore):
    """Notes what is saved and when, and fails where the test says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.saved: list[list[EventBatch]] = []
        self.save_errors: list[Exception] = []
        self.outcomes: list[Exception] = []
        self.progress_errors: list[Exception] = []
        self.saves = asyncio.Semaphore(0)
        # The last event of each write that is done with.
        self.written: asyncio.Queue[int] = asyncio.Queue()
        # How often somebody has looked at a turn; with a gate, each look waits for the test to let it through.
        self.looked_at: list[float] = []
        self.looked = asyncio.Semaphore(0)
        self.gate: asyncio.Semaphore | None = None
        self.waiting = 0
        self.given_up = asyncio.Event()

    async def save_events(self, batches: Sequence[EventBatch]) -> list[Exception | None]:
        self.saved.append(list(batches))
        self.saves.release()
        if self.save_errors:
            raise self.save_errors.pop()
        outcomes: list[Exception | None]
        if self.outcomes:
            outcomes = [self.outcomes.pop() for _ in batches]
        else:
            outcomes = await super().save_events(batches)
        self.written.put_nowait(max(batch.events[-1].id for batch in batches))
        return outcomes

    @property
    def looks(self) -> int:
        return len(self.looked_at)

    async def get_progress(self, *arguments: Any, **options: Any) -> Any:
        self.looked_at.append(asyncio.get_running_loop().time())
        self.waiting += self.gate is not None
        self.looked.release()
        if self.gate:
            try:
                await self.gate.acquire()
            except asyncio.CancelledError:
                self.given_up.set()
                raise
            finally:
                self.waiting -= 1
        if self.progress_errors:
            raise self.progress_errors.pop()
        return await super().get_progress(*arguments, **options)


class Steps:
    """A script that says one word a step, when the test lets it."""

    def __init__(self, count: int = 3) -> None:
        self._steps = asyncio.Semaphore(0)
        self._count = count
        self.cancelled = asyncio.Event()

    async def __call__(self, observer: RunObserver) -> None:
        try:
            for number in range(self._count):
                await self._steps.acquire()
                observer.text(f"{number} ")
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self._steps.release()


@asynccontextmanager
async def process(
    path: Path, script: Script, intervals: TurnIntervals = FAST, **settings: Any
) -> AsyncIterator[tuple[RecordingStore, Turns]]:
    """Stand for a process at work on the file."""

    async def get_agent() -> ChatAgent:
        return cast("ChatAgent", ScriptedAgent(script))

    async with RecordingStore(path) as store:
        configured = Settings(**settings)
        turns = Turns(store, get_agent, Quotas(configured, QuotaBackend(Counters.in_memory())), configured, intervals)
        try:
            yield store, turns
        finally:
            await turns.close(grace_seconds=0)


async def new_thread(store: ThreadStore) -> Thread:
    return await store.create_thread(ANN, title=None, metadata={})


async def start(turns: Turns, thread: Thread, key: str | None = None, *, stream: bool = True) -> EventLog:
    return await turns.start(ANN, thread.id, NewMessage(new_id("turn"), "hi", {}, key), stream=stream)


async def until(log: EventLog, id: int) -> None:
    """Wait for an event."""
    async for batch in log.stream():
        if batch[-1].id >= id:
            return


async def follow(turns: Turns, thread: Thread, turn_id: str, after: int = 0) -> list[TurnEvent]:
    batches = await turns.follow(ANN, thread.id, turn_id, after=after, heartbeat_interval=60)
    return [] if batches is None else [event async for batch in batches for event in batch]


async def status_of(turns: Turns, thread: Thread, turn_id: str) -> str:
    return (await turns.get(ANN, thread.id, turn_id)).status
