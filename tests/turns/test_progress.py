"""Turns as others see them: their events kept and followed from another process, and cancelled from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import time_machine

from agent.agent import ChatAgent
from agent.run import RunObserver
from errors import StoreUnavailable, ThreadNotFound, TurnEnded, TurnNotFound
from events import MessageCompleted, TurnCancelled, TurnEvent, TurnFailed, TurnStarted
from models import Owner, Thread, Turn, new_id, utcnow
from quotas.backend import Counters, QuotaBackend
from quotas.quotas import Quotas
from settings import Settings
from stores.contract import ThreadStore
from stores.sqlite.store import SqliteStore
from stores.types import EventBatch, NewMessage
from tests.fakes.agent import Script, ScriptedAgent
from tests.support.stores import begin
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
        self.progress_errors: list[Exception] = []
        self.saves = asyncio.Semaphore(0)

    async def save_events(self, batches: Sequence[EventBatch]) -> list[Exception | None]:
        self.saved.append(list(batches))
        self.saves.release()
        if self.save_errors:
            raise self.save_errors.pop()
        return await super().save_events(batches)

    async def get_progress(self, *arguments: Any, **options: Any) -> Any:
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


async def new_thread(store: ThreadStore) -> Thread:
    return await store.create_thread(ANN, title=None, metadata={})


async def start(turns: Turns, thread: Thread, key: str | None = None) -> EventLog:
    return await turns.start(ANN, thread.id, NewMessage(new_id("turn"), "hi", {}, key), stream=True)


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


# Following


async def test_another_process_sees_every_event_once_and_live(path: Path) -> None:
    steps = Steps()
    async with process(path, steps) as (store, turns), process(path, steps) as (_, others):
        thread = await new_thread(store)
        log = await start(turns, thread)
        batches = await others.follow(ANN, thread.id, log.id, after=0, heartbeat_interval=60)
        assert batches is not None
        seen: list[TurnEvent] = []
        for word in range(3):
            steps.step()
            while len(seen) < word + 2:
                seen += await anext(batches)
        seen += [event async for batch in batches for event in batch]
        live = list(log.events_after(0))
        assert [event.to_json() for event in seen] == [event.to_json() for event in live]
        assert [event.type for event in seen] == ["turn.started", *["message.delta"] * 3, "message.completed"]


@pytest.mark.parametrize("same_process", [True, False])
async def test_a_reader_goes_on_where_it_was(path: Path, same_process: bool) -> None:
    steps = Steps(5)
    steps.step(5)
    async with process(path, steps) as (store, turns), process(path, steps) as (_, others):
        thread = await new_thread(store)
        log = await start(turns, thread)
        await log.wait()
        reader = turns if same_process else others
        for after in range(7):
            events = await follow(reader, thread, log.id, after)
            assert [event.id for event in events] == list(range(after + 1, 8))
        assert await reader.follow(ANN, thread.id, log.id, after=7, heartbeat_interval=60) is None
        assert await reader.follow(ANN, thread.id, log.id, after=99, heartbeat_interval=60) is None


async def test_the_final_event_is_there_when_the_others_are_forgotten(path: Path) -> None:
    steps = Steps()
    steps.step(3)
    async with process(path, steps) as (store, turns):
        thread = await new_thread(store)
        log = await start(turns, thread)
        message = await log.wait()
    with time_machine.travel(utcnow() + timedelta(hours=2), tick=True):
        async with process(path, steps) as (_, later):
            [final] = await follow(later, thread, log.id)
            assert final == MessageCompleted(id=5, turn_id=log.id, message=message)


async def test_a_turn_whose_process_died_ends_as_interrupted(path: Path) -> None:
    async with process(path, Steps()) as (store, turns):
        thread = await new_thread(store)
        dead = await begin(store, thread.id)
        await store.save_events([EventBatch(thread.id, dead.turn_id, [TurnStarted(id=1, turn_id=dead.turn_id)], 3600)])
        with time_machine.travel(utcnow(), tick=True) as clock:
            batches = await turns.follow(ANN, thread.id, dead.turn_id, after=0, heartbeat_interval=60)
            assert batches is not None
            assert [event.type for event in await anext(batches)] == ["turn.started"]
            clock.shift(31)
            [final] = [event async for batch in batches for event in batch]
            assert isinstance(final, TurnFailed)
            assert (final.id, final.problem.type) == (2, "turn_interrupted")
            assert await status_of(turns, thread, dead.turn_id) == "interrupted"


async def test_silence_while_following_is_an_empty_batch(path: Path) -> None:
    steps = Steps()
    async with process(path, steps) as (store, turns), process(path, steps) as (_, others):
        thread = await new_thread(store)
        log = await start(turns, thread)
        batches = await others.follow(ANN, thread.id, log.id, after=1, heartbeat_interval=0.01)
        assert batches is not None
        assert await anext(batches) == ()
        assert await anext(batches) == ()
        steps.step(3)


async def test_a_store_that_fails_for_a_moment_loses_the_reader_nothing(path: Path) -> None:
    steps = Steps()
    async with process(path, steps) as (store, turns), process(path, steps) as (others_store, others):
        thread = await new_thread(store)
        log = await start(turns, thread)
        batches = await others.follow(ANN, thread.id, log.id, after=0, heartbeat_interval=60)
        assert batches is not None
        others_store.progress_errors = [StoreUnavailable(), StoreUnavailable()]
        steps.step(3)
        assert [event.id async for batch in batches for event in batch] == [1, 2, 3, 4, 5]


async def test_a_thread_deleted_under_a_reader_ends_the_stream(path: Path) -> None:
    steps = Steps()
    async with process(path, steps) as (store, turns), process(path, steps) as (_, others):
        thread = await new_thread(store)
        log = await start(turns, thread)
        batches = await others.follow(ANN, thread.id, log.id, after=0, heartbeat_interval=60)
        assert batches is not None
        await store.delete_thread(ANN, thread.id)
        events = [event async for batch in batches for event in batch]
        assert isinstance(events[-1], TurnFailed)
        assert events[-1].problem.type == "thread_not_found"
        assert (await log.wait()).type == "turn_interrupted"  # type: ignore[union-attr]  # a problem


async def test_strangers_and_wrong_ids_follow_nothing(path: Path) -> None:
    steps = Steps()
    async with process(path, steps) as (store, turns):
        thread = await new_thread(store)
        log = await start(turns, thread)
        with pytest.raises(ThreadNotFound):
            await turns.follow(BOB, thread.id, log.id, after=0, heartbeat_interval=60)
        with pytest.raises(ThreadNotFound):
            await turns.cancel(BOB, thread.id, log.id)
        with pytest.raises(TurnNotFound):
            await turns.follow(ANN, thread.id, new_id("turn"), after=0, heartbeat_interval=60)
        steps.step(3)
        await log.wait()


# Keeping events


async def test_events_are_saved_at_most_once_a_tick_and_each_once(path: Path) -> None:
    steps = Steps(40)
    async with process(path, steps) as (store, turns):
        thread = await new_thread(store)
        log = await start(turns, thread)
        for _ in range(4):
            steps.step(10)
            await store.saves.acquire()
        await log.wait()
    ids = [event.id for batches in store.saved for batch in batches for event in batch.events]
    assert ids == list(range(1, 42))
    assert len(store.saved) <= 6


async def test_the_turns_of_a_process_share_a_write(path: Path) -> None:
    steps = Steps(1)
    async with process(path, steps) as (store, turns):
        logs = [await start(turns, await new_thread(store)) for _ in range(10)]
        steps.step(10)
        await asyncio.gather(*(log.wait() for log in logs))
    saved = {(batch.turn_id, event.id) for batches in store.saved for batch in batches for event in batch.events}
    assert saved == {(log.id, id) for log in logs for id in (1, 2)}
    assert sum(map(len, store.saved)) <= 20


async def test_a_save_that_fails_is_made_up_for_and_disturbs_nobody(path: Path) -> None:
    steps = Steps()
    async with process(path, steps) as (store, turns), process(path, steps) as (_, others):
        thread = await new_thread(store)
        store.save_errors = [StoreUnavailable(), RuntimeError("unexpected")]
        log = await start(turns, thread)
        for _ in range(3):
            await store.saves.acquire()
        steps.step(3)
        await log.wait()
        assert [event.id for event in await follow(others, thread, log.id)] == [1, 2, 3, 4, 5]


async def test_events_that_cannot_be_saved_are_given_up(path: Path) -> None:
    steps = Steps()
    steps.step(3)
    async with process(path, steps, replace(FAST, event_lag=0.02)) as (_, others):
        async with process(path, steps) as (store, turns):
            thread = await new_thread(store)
            store.save_errors = [StoreUnavailable() for _ in range(99)]
            log = await start(turns, thread)
            message = await log.wait()
            for _ in range(5):
                await store.saves.acquire()
        [final] = await follow(others, thread, log.id)
        assert final == MessageCompleted(id=5, turn_id=log.id, message=message)


async def test_keeping_events_can_be_switched_off(path: Path) -> None:
    steps = Steps()
    async with (
        process(path, steps, event_ttl_seconds=0) as (store, turns),
        process(path, steps, event_ttl_seconds=0) as (_, others),
    ):
        thread = await new_thread(store)
        log = await start(turns, thread)
        follower = asyncio.create_task(follow(others, thread, log.id))
        steps.step(3)
        assert [event.id for event in await follow(turns, thread, log.id)] == [1, 2, 3, 4, 5]
        assert [event.id for event in await follower] == [5]
    assert store.saved == []


# Cancelling


async def ended(turns: Turns, thread: Thread, log: EventLog) -> Turn:
    await log.wait()
    return await turns.get(ANN, thread.id, log.id)


@pytest.mark.parametrize("same_process", [True, False])
async def test_a_cancelled_turn_stops_and_keeps_what_it_said(path: Path, same_process: bool) -> None:
    steps = Steps()
    async with process(path, steps) as (store, turns), process(path, steps) as (_, others):
        thread = await new_thread(store)
        log = await start(turns, thread, key="k")
        steps.step(2)
        await until(log, 3)
        await (turns if same_process else others).cancel(ANN, thread.id, log.id)
        turn = await ended(turns, thread, log)
        assert steps.cancelled.is_set()
        assert (turn.status, turn.problem) == ("cancelled", None)
        assert turn.message is not None
        assert (turn.message.content, turn.message.status, turn.message.role) == ("0 1 ", "cancelled", "assistant")
        final = list(log.events_after(0))[-1]
        assert isinstance(final, TurnCancelled)
        assert final.message == turn.message
        page = await store.list_messages(ANN, thread.id, limit=10, after=None, before=None, order="asc")
        assert [(m.role, m.status) for m in page.items] == [("user", "cancelled"), ("assistant", "cancelled")]
        with pytest.raises(TurnEnded):
            await turns.cancel(ANN, thread.id, log.id)
        replayed = await start(others, thread, key="k")
        assert (replayed.id, replayed.replayed, await replayed.wait()) == (log.id, True, turn.message)
        steps.step(9)
        assert (await ended(turns, thread, await start(turns, thread))).status == "completed"


async def test_a_turn_is_cancelled_at_once_in_its_process(path: Path) -> None:
    async with process(path, Steps(), replace(FAST, cancel_poll=60)) as (store, turns):
        thread = await new_thread(store)
        log = await start(turns, thread)
        await turns.cancel(ANN, thread.id, log.id)
        turn = await ended(turns, thread, log)
        assert (turn.status, turn.message.content if turn.message else None) == ("cancelled", "")


async def test_a_cancellation_that_comes_too_late_changes_nothing_later(path: Path) -> None:
    async def script(observer: RunObserver) -> None:
        observer.text("done")
        await turns.cancel(ANN, thread.id, running[0])

    running: list[str] = []
    async with process(path, script) as (store, turns):
        thread = await new_thread(store)
        new = NewMessage(new_id("turn"), "hi", {})
        running.append(new.turn_id)
        log = await turns.start(ANN, thread.id, new, stream=True)
        turn = await ended(turns, thread, log)
        assert (turn.status, turn.message.content if turn.message else None) == ("cancelled", "done")
