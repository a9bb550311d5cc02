"""Turns as others see them: followed from another process through their stored events."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from errors import StoreUnavailable, ThreadNotFound, TurnNotFound
from events import MessageCompleted, TurnEvent, TurnFailed, TurnStarted
from models import new_id, utcnow
from stores.types import EventBatch
from tests.support.processes import ANN, BOB, Steps, follow, new_thread, process, start, status_of
from tests.support.stores import begin


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
