"""A turn's events, kept for those who follow it later or from another process."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from errors import StoreUnavailable
from events import MessageCompleted, TurnStarted
from models import Message
from tests.support.processes import ANN, Steps, follow, new_thread, process, start
from tests.support.turns import FAST


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
    # Else they could end up in another thread that was made under the same id.
    assert {batch.thread_created_at for batches in store.saved for batch in batches} == {thread.created_at}


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


async def test_a_turn_that_is_answered_as_a_whole_stores_no_events(path: Path) -> None:
    """Others get its first event at once and its last; in its own process there is all of it while it runs."""
    steps = Steps()
    # A follower who waited for events that never come would wait that long.
    patient = replace(FAST, event_lag=60)
    async with process(path, steps, patient) as (store, turns), process(path, steps, patient) as (_, others):
        thread = await new_thread(store)
        log = await start(turns, thread, stream=False)
        here = asyncio.create_task(follow(turns, thread, log.id))
        elsewhere = await others.follow(ANN, thread.id, log.id, after=0, heartbeat_interval=60)
        assert elsewhere is not None
        assert await anext(elsewhere) == [TurnStarted(id=1, turn_id=log.id)]
        steps.step(3)
        message = await log.wait()
        assert isinstance(message, Message)
        assert [event.id for event in await here] == [1, 2, 3, 4, 5]
        end = MessageCompleted(id=5, turn_id=log.id, message=message)
        assert [event async for batch in elsewhere for event in batch] == [end]
        assert await follow(others, thread, log.id) == [TurnStarted(id=1, turn_id=log.id), end]
        assert await follow(others, thread, log.id, after=3) == [end]
        assert await follow(others, thread, log.id, after=5) == []
    assert store.saved == []


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
