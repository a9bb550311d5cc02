"""A turn whose lease or whose commit goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from errors import StoreUnavailable, ThreadNotFound, TurnInProgress
from events import FinalEvent, MessageCompleted
from models import Problem, new_id, utcnow
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage, StartedTurn, TurnEnd
from tests.fakes.agent import ScriptedAgent, say_hello
from tests.support.scripted_turns import OWNER, Gate, events_of, messages_of, problem_of, start, turns_of
from turns.intervals import TurnIntervals
from turns.lease import LeaseRenewer


class WatchedStore(SqliteStore):
    """Counts renewals, and fails where the test says so."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.renewals = asyncio.Semaphore(0)
        self.renewal_error: Exception | None = None
        self.commit_errors: list[Exception | None] = []
        self.errors_after_commit: list[BaseException] = []

    async def renew_lease(self, turn: StartedTurn, *, lease_seconds: float) -> None:
        self.renewals.release()
        if self.renewal_error:
            raise self.renewal_error
        await super().renew_lease(turn, lease_seconds=lease_seconds)

    async def commit_turn(self, turn: StartedTurn, end: TurnEnd) -> None:
        if self.commit_errors and (error := self.commit_errors.pop()):
            raise error
        await super().commit_turn(turn, end)
        if self.errors_after_commit:
            raise self.errors_after_commit.pop()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[WatchedStore]:
    async with WatchedStore(tmp_path / "watched.db") as store:
        yield store


# Renewals are due all the time.
IMPATIENT = TurnIntervals(renewals_per_lease=1e9)


async def test_a_long_turn_keeps_its_lease(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    gate = Gate()
    turns = turns_of(watched, ScriptedAgent(gate), IMPATIENT)
    with time_machine.travel(utcnow(), tick=True) as clock:
        turn = await start(turns, thread)
        for _ in range(4):
            clock.shift(timedelta(seconds=20))
            await watched.renewals.acquire()
            await watched.renewals.acquire()
            with pytest.raises(TurnInProgress):
                await start(turns, thread)
        gate.opened.set()
        assert (await events_of(turn))[-1].type == "message.completed"


@pytest.mark.parametrize("error", [StoreUnavailable(), RuntimeError("unforeseen")])
async def test_a_renewal_that_fails_for_a_moment_is_tried_again(watched: WatchedStore, error: Exception) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    gate = Gate()
    turns = turns_of(watched, ScriptedAgent(gate), IMPATIENT)
    watched.renewal_error = error
    turn = await start(turns, thread)
    async with asyncio.timeout(5):
        for _ in range(3):
            await watched.renewals.acquire()
    gate.opened.set()
    assert (await events_of(turn))[-1].type == "message.completed"


async def test_a_turn_that_lost_its_lease_stops_and_stores_nothing(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    gate = Gate()
    turns = turns_of(watched, ScriptedAgent(gate))
    turn = await start(turns, thread)
    await gate.reached.wait()
    await watched.delete_thread(OWNER, thread.id)
    events = asyncio.create_task(events_of(turn))
    gate.opened.set()
    assert problem_of(await events).type == "turn_interrupted"
    with pytest.raises(ThreadNotFound):
        await watched.get_thread(OWNER, thread.id)


async def test_a_turn_whose_thread_is_deleted_is_cancelled(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    gate = Gate()
    turns = turns_of(watched, ScriptedAgent(gate), IMPATIENT)
    turn = await start(turns, thread)
    await gate.reached.wait()
    await watched.delete_thread(OWNER, thread.id)
    assert problem_of(await events_of(turn)).type == "turn_interrupted"
    assert gate.cancelled


async def test_a_commit_that_fails_for_good_is_told_and_the_message_kept(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    turns = turns_of(watched, ScriptedAgent(say_hello), TurnIntervals(retry=31))
    watched.commit_errors = [StoreUnavailable(), StoreUnavailable()]
    with time_machine.travel(utcnow(), tick=True) as clock:
        turn = await start(turns, thread, key="k")
        assert (await events_of(turn))[-1].type == "message.delta"
        assert isinstance(turn.result, Problem)
        assert turn.result.type == "store_unavailable"
        clock.shift(timedelta(seconds=31))
        assert [(m.content, m.status) for m in await messages_of(watched, thread)] == [("hi", "interrupted")]
        assert (await events_of(await start(turns, thread, key="k")))[-1].type == "message.completed"
    assert [m.seq for m in await messages_of(watched, thread)] == [1, 2]


async def test_who_follows_a_turn_whose_commit_seemed_lost_is_told_how_it_is_stored(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    # The commit is carried out, but nobody hears of it for longer than the lease lasts.
    watched.errors_after_commit, watched.commit_errors = [StoreUnavailable()], [StoreUnavailable(), None]
    turns = turns_of(watched, ScriptedAgent(say_hello), TurnIntervals(retry=31, save=0.001, follow=0.001))
    turn = await start(turns, thread)
    events = list(await events_of(turn))
    assert not isinstance(events[-1], FinalEvent)
    async with asyncio.timeout(5):
        while not isinstance(events[-1], FinalEvent):
            following = await turns.follow(OWNER, thread.id, turn.id, after=events[-1].id, heartbeat_interval=1)
            assert following
            events += [event async for batch in following for event in batch]
    assert isinstance(events[-1], MessageCompleted)
    assert events[-1].message == (await messages_of(watched, thread))[1]


async def test_a_commit_whose_answer_was_lost_ends_as_it_is_stored(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    watched.errors_after_commit = [StoreUnavailable()]
    turns = turns_of(watched, ScriptedAgent(say_hello))
    turn = await start(turns, thread)
    final = (await events_of(turn))[-1]
    assert isinstance(final, MessageCompleted)
    assert final.message == (await messages_of(watched, thread))[1]
    assert (await watched.get_progress(OWNER, thread.id, turn.id, after=None)).final_event_id == final.id


async def test_nobody_is_told_an_end_until_it_is_known(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    watched.commit_errors = [StoreUnavailable(), StoreUnavailable(), None]
    watched.errors_after_commit = [StoreUnavailable()]
    turns = turns_of(watched, ScriptedAgent(say_hello), TurnIntervals(retry=0))
    assert (await events_of(await start(turns, thread)))[-1].type == "message.completed"
    assert [m.status for m in await messages_of(watched, thread)] == ["completed", "completed"]


async def test_a_failure_is_stored_as_soon_as_the_store_is_back(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    watched.commit_errors = [StoreUnavailable(), StoreUnavailable(), StoreUnavailable()]
    turns = turns_of(watched, ScriptedAgent(say_hello), TurnIntervals(retry=0))
    assert (await events_of(await start(turns, thread)))[-1].type == "turn.failed"
    assert [m.status for m in await messages_of(watched, thread)] == ["failed"]


async def test_stopping_in_the_middle_of_a_commit_ends_as_it_is_stored(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    watched.errors_after_commit = [asyncio.CancelledError()]
    turns = turns_of(watched, ScriptedAgent(say_hello))
    assert (await events_of(await start(turns, thread)))[-1].type == "message.completed"


async def test_a_turn_whose_end_cannot_be_stored_at_all_still_ends_for_its_readers(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    watched.commit_errors = [RuntimeError("no"), RuntimeError("no")]
    turns = turns_of(watched, ScriptedAgent(say_hello))
    async with asyncio.timeout(5):
        turn = await start(turns, thread)
        # No final event: nobody knows how the turn will have ended. Who waits for its outcome is told why there is none.
        assert (await events_of(turn))[-1].type == "message.delta"
        assert isinstance(turn.result, Problem)
        assert turn.result.type == "internal_error"


async def test_a_lease_is_held_for_as_long_as_nobody_else_can_have_taken_it(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    new = NewMessage(new_id("turn"), "hi", {})
    started = await watched.begin_turn(OWNER, thread.id, new, lease_seconds=30, history_limit=0)
    assert isinstance(started, StartedTurn)
    watched.renewal_error = StoreUnavailable()
    late = replace(started, started_at=started.started_at - timedelta(seconds=30))
    async with LeaseRenewer(watched, late, 30, IMPATIENT) as lease, asyncio.timeout(5):
        assert not lease.is_held
        watched.renewal_error = None
        while not lease.is_held:
            await watched.renewals.acquire()
