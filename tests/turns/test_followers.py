"""Audit M5: the followers of a turn of another process share one poller there."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from errors import ThreadNotFound
from events import MessageCompleted, TurnEvent, TurnFailed
from models import Thread
from tests.support.processes import ANN, BOB, RecordingStore, Steps, new_thread, process, start
from tests.support.turns import FAST
from turns.event_log import EventLog
from turns.intervals import TurnIntervals
from turns.service import Turns

Batches = AsyncGenerator[Sequence[TurnEvent]]


@dataclass(frozen=True)
class Followed:
    """A turn of one process, and another process that follows it."""

    steps: Steps
    store: RecordingStore
    own: Turns
    log: EventLog
    thread: Thread
    other_store: RecordingStore
    other: Turns

    async def follow(self, after: int = 0) -> Batches:
        """Let the other process follow the turn."""
        batches = await self.other.follow(ANN, self.thread.id, self.log.id, after=after, heartbeat_interval=60)
        assert batches is not None
        return batches

    async def say(self, count: int) -> None:
        """Let the turn say some words, and wait until they are stored."""
        last = self.log.next_id - 1 + count
        self.steps.step(count)
        while await self.store.written.get() < last:
            pass


@asynccontextmanager
async def followed(path: Path, words: int = 3, intervals: TurnIntervals = FAST) -> AsyncIterator[Followed]:
    """Let one process begin a turn that says some words."""
    steps = Steps(words)
    async with process(path, steps) as (store, own), process(path, steps, intervals) as (other_store, other):
        thread = await new_thread(store)
        log = await start(own, thread)
        yield Followed(steps, store, own, log, thread, other_store, other)


async def read(batches: Batches) -> list[TurnEvent]:
    return [event async for batch in batches for event in batch]


def ids(events: Sequence[TurnEvent]) -> list[int]:
    return [event.id for event in events]


async def joined(turn: Followed, after: int = 0) -> Batches:
    """Follow a turn beyond its first event, so that what comes next comes from the poller."""
    batches = await turn.follow(after)
    assert ids(await anext(batches)) == [1]
    return batches


async def test_twenty_followers_cost_what_one_costs(path: Path) -> None:
    async with followed(path, words=4) as turn:
        await turn.say(0)
        readers = [await joined(turn) for _ in range(20)]
        gate = turn.other_store.gate = asyncio.Semaphore(0)
        reading = [asyncio.create_task(read(each)) for each in readers]
        while not turn.other_store.waiting:
            await turn.other_store.looked.acquire()
        looks = turn.other_store.looks
        for count in range(1, 4):
            await turn.say(1)
            gate.release()
            while turn.other_store.looks < looks + count:
                await turn.other_store.looked.acquire()
        assert (turn.other_store.looks, turn.other_store.waiting) == (looks + 3, 1)
        turn.other_store.gate = None
        gate.release()
        turn.steps.step(1)
        assert [ids(events) for events in await asyncio.gather(*reading)] == [[2, 3, 4, 5, 6]] * 20


async def test_each_follower_begins_where_it_was(path: Path) -> None:
    async with followed(path, words=6) as turn:
        await turn.say(2)
        # The first one is ahead of all that there is: that must not hide anything from the others.
        afters = (99, 3, 0, 1, 2, 4, 0)
        reading = [asyncio.create_task(read(await turn.follow(after))) for after in afters]
        await turn.say(2)
        reading.append(asyncio.create_task(read(await turn.follow(5))))
        turn.steps.step(2)
        seen = await asyncio.gather(*reading)
        assert [ids(events) for events in seen] == [list(range(after + 1, 9)) for after in (*afters, 5)]


async def test_who_joins_with_an_older_look_misses_nothing(path: Path) -> None:
    async with followed(path) as turn:
        await turn.say(0)
        late = await turn.follow()
        first = await joined(turn)
        await turn.say(1)
        assert ids(await anext(first)) == [2]
        # Its own look saw the first event only, and the poller has dropped the second.
        rest = asyncio.create_task(read(late))
        await turn.say(2)
        assert ids(await rest) == [1, 2, 3, 4, 5]
        assert ids(await read(first)) == [3, 4, 5]


async def test_a_slow_follower_holds_up_nobody_and_misses_nothing(path: Path) -> None:
    async with followed(path) as turn:
        await turn.say(0)
        slow, quick = await joined(turn), await joined(turn)
        turn.steps.step(1)
        assert ids(await anext(slow)) == [2]
        turn.steps.step(2)
        assert ids(await read(quick)) == [2, 3, 4, 5]
        assert ids(await read(slow)) == [3, 4, 5]


async def test_what_all_have_taken_is_kept_no_longer(path: Path) -> None:
    async with followed(path) as turn:
        await turn.say(0)
        batches = await joined(turn)
        await turn.say(3)
        while ids(events := await anext(batches))[-1] < 4:
            pass
        # Only a frame or a list of somebody else could hold them.
        kept = [weakref.ref(event) for event in events]
        del events
        assert isinstance((await anext(batches))[-1], MessageCompleted)
        gc.collect()
        assert [each() for each in kept] == [None] * len(kept)


async def test_the_last_follower_that_leaves_ends_the_polling(path: Path) -> None:
    async with followed(path) as turn:
        await turn.say(0)
        one, another = await joined(turn), await joined(turn)
        turn.other_store.gate = asyncio.Semaphore(0)
        leaving, staying = asyncio.create_task(anext(one)), asyncio.create_task(anext(another))
        while not turn.other_store.waiting:
            await turn.other_store.looked.acquire()
        leaving.cancel()
        await asyncio.wait([leaving])
        assert not turn.other_store.given_up.is_set()
        await turn.say(1)
        turn.other_store.gate.release()
        assert ids(await staying) == [2]
        while not turn.other_store.waiting:
            await turn.other_store.looked.acquire()
        await another.aclose()
        await turn.other_store.given_up.wait()
        turn.other_store.gate = None
        turn.steps.step(2)
        assert ids(await read(await turn.follow())) == [1, 2, 3, 4, 5]


async def test_followers_that_are_told_of_a_failure_each_are_so_once(path: Path) -> None:
    async with followed(path) as turn:
        await turn.say(0)
        readers = [await joined(turn) for _ in range(3)]
        await turn.store.delete_thread(ANN, turn.thread.id)
        for events in await asyncio.gather(*map(read, readers)):
            [final] = events
            assert isinstance(final, TurnFailed)
            assert (final.id, final.problem.type) == (2, "thread_not_found")


async def test_the_end_is_told_once_to_each_although_a_batch_was_dropped(path: Path) -> None:
    async with followed(path, intervals=replace(FAST, event_lag=0.02)) as turn:
        await turn.say(0)
        readers = [await joined(turn) for _ in range(3)]
        turn.store.outcomes = [ValueError("cannot be stored")]
        await turn.say(1)
        turn.steps.step(2)
        message = await turn.log.wait()
        for events in await asyncio.gather(*map(read, readers)):
            assert ids(events)[-1] == 5
            assert 2 not in ids(events)
            finals = [event for event in events if isinstance(event, MessageCompleted)]
            assert [each.message for each in finals] == [message]


async def test_a_store_that_fails_unexpectedly_ends_every_stream(path: Path) -> None:
    async with followed(path) as turn:
        await turn.say(0)
        readers = [await joined(turn) for _ in range(3)]
        turn.other_store.progress_errors = [RuntimeError("unexpected")]
        outcomes = await asyncio.gather(*map(read, readers), return_exceptions=True)
        assert [str(each) for each in outcomes] == ["unexpected"] * 3


async def test_a_process_that_stops_ends_its_followers_streams_without_an_end(path: Path) -> None:
    async with followed(path) as turn:
        await turn.say(0)
        reading = [asyncio.create_task(read(await joined(turn))) for _ in range(3)]
        while turn.other_store.looks < 4:
            await turn.other_store.looked.acquire()
        await turn.other.close(grace_seconds=0)
        assert await asyncio.gather(*reading) == [[], [], []]


async def test_a_stranger_does_not_get_at_a_poller(path: Path) -> None:
    async with followed(path) as turn:
        await turn.say(0)
        batches = await joined(turn)
        with pytest.raises(ThreadNotFound):
            await turn.other.follow(BOB, turn.thread.id, turn.log.id, after=0, heartbeat_interval=60)
        await batches.aclose()


async def test_silence_is_polled_more_slowly(path: Path) -> None:
    async with followed(path, intervals=replace(FAST, follow=0.01, follow_silent=0.02)) as turn:
        await turn.say(0)
        batches = await joined(turn)
        reading = asyncio.create_task(anext(batches))
        while turn.other_store.looks < 6:
            await turn.other_store.looked.acquire()
        at = turn.other_store.looked_at
        assert at[5] - at[4] >= 0.02
        reading.cancel()
        await asyncio.wait([reading])
