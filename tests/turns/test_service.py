"""One turn, from begin to commit, on the real embedded store with a scripted agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import time_machine

from agent.agent import ChatAgent
from agent.run import RunObserver
from errors import ModelThrottled, StoreUnavailable, ThreadNotFound, TurnInProgress, TurnInterrupted
from events import FinalEvent, MessageCompleted, MessageDelta, ToolCompleted, ToolStarted, TurnEvent, TurnFailed, TurnStarted
from models import Message, Owner, Problem, Thread, ToolCall, new_id, utcnow
from quotas.backend import Counters, QuotaBackend
from quotas.quotas import Quotas
from settings import Settings
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage, StartedTurn
from tests.fakes.agent import Script, ScriptedAgent, say_hello
from turns.event_log import EventLog
from turns.intervals import TurnIntervals
from turns.service import Turns

OWNER = Owner("acme", "ann")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "chat.db") as store:
        yield store


@pytest.fixture
async def thread(store: SqliteStore) -> Thread:
    return await store.create_thread(OWNER, title=None, metadata={})


def turns_of(
    store: SqliteStore,
    agent: ScriptedAgent,
    intervals: TurnIntervals = TurnIntervals(),  # noqa: B008 - immutable
    **settings: Any,
) -> Turns:
    async def get_agent() -> ChatAgent:
        return cast("ChatAgent", agent)

    configured = Settings(**settings)
    return Turns(store, get_agent, Quotas(configured, QuotaBackend(Counters.in_memory())), configured, intervals)


async def start(turns: Turns, thread: Thread, content: str = "hi", key: str | None = None) -> EventLog:
    return await turns.start(OWNER, thread.id, NewMessage(new_id("turn"), content, {}, key), stream=False, request_id="req_1")


def problem_of(events: list[TurnEvent]) -> Problem:
    final = events[-1]
    assert isinstance(final, TurnFailed)
    return final.problem


async def events_of(turn: EventLog) -> list[TurnEvent]:
    return [event async for batch in turn.stream() for event in batch]


async def messages_of(store: SqliteStore, thread: Thread) -> list[Message]:
    return (await store.list_messages(OWNER, thread.id, limit=100, after=None, before=None, order="asc")).items


class Gate:
    """A script that stops until it is opened."""

    def __init__(self, then: Script = say_hello) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.cancelled = False
        self._then = then

    async def __call__(self, observer: RunObserver) -> None:
        self.reached.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await self._then(observer)


async def test_a_turn_emits_its_events_and_stores_both_messages(store: SqliteStore, thread: Thread) -> None:
    call = ToolCall(id="call_1", tool="calculate", arguments={"expression": "1+1"}, result=2, duration_ms=3)

    async def script(observer: RunObserver) -> None:
        observer.tool_started(call.id, call.tool, call.arguments)
        observer.tool_completed(call)
        await say_hello(observer)

    turns = turns_of(store, ScriptedAgent(script))
    turn = await start(turns, thread)
    events = await events_of(turn)
    question, answer = await messages_of(store, thread)
    id = turn.id
    assert events == [
        TurnStarted(id=1, turn_id=id),
        ToolStarted(id=2, turn_id=id, call_id="call_1", tool="calculate", arguments={"expression": "1+1"}),
        ToolCompleted(id=3, turn_id=id, call_id="call_1", tool="calculate", result=2, duration_ms=3),
        MessageDelta(id=4, turn_id=id, text="Hello"),
        MessageDelta(id=5, turn_id=id, text=" there"),
        MessageCompleted(id=6, turn_id=id, message=answer),
    ]
    assert (question.content, question.status, question.turn_id) == ("hi", "completed", turn.id)
    assert (answer.content, answer.tool_calls, answer.turn_id) == ("Hello there", [call], turn.id)
    assert answer.metadata == {"model": "scripted", "usage": {"input_tokens": 3, "output_tokens": 5}}
    await turns.close(grace_seconds=1)


async def test_late_and_many_readers_see_every_event(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turn = await start(turns_of(store, ScriptedAgent(gate)), thread)
    early = asyncio.create_task(events_of(turn))
    await gate.reached.wait()
    gate.opened.set()
    assert await early == await events_of(turn) == await events_of(turn)


async def test_a_caller_who_leaves_does_not_stop_the_turn(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turns = turns_of(store, ScriptedAgent(gate))
    caller = asyncio.create_task(events_of(await start(turns, thread)))
    await gate.reached.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    gate.opened.set()
    await turns.close(grace_seconds=5)
    assert [message.content for message in await messages_of(store, thread)] == ["hi", "Hello there"]


async def test_a_caller_who_leaves_while_the_turn_begins_does_not_stop_it(store: SqliteStore, thread: Thread) -> None:
    turns = turns_of(store, ScriptedAgent(say_hello))
    caller = asyncio.create_task(start(turns, thread))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await turns.close(grace_seconds=5)
    assert [message.status for message in await messages_of(store, thread)] == ["completed", "completed"]


async def test_the_accepted_message_is_visible_while_the_turn_runs(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turns = turns_of(store, ScriptedAgent(gate))
    await start(turns, thread)
    await gate.reached.wait()
    assert [(message.content, message.status) for message in await messages_of(store, thread)] == [("hi", "running")]
    with pytest.raises(TurnInProgress):
        await start(turns, thread)
    gate.opened.set()
    await turns.close(grace_seconds=5)


@pytest.mark.parametrize(
    ("error", "type"), [(ModelThrottled(retry_after=7), "model_throttled"), (RuntimeError("secret"), "internal_error")]
)
async def test_a_failed_turn_keeps_the_message_and_frees_the_thread(
    store: SqliteStore, thread: Thread, error: Exception, type: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(observer: RunObserver) -> None:
        observer.text("I th")
        raise error

    agent = ScriptedAgent(fail, say_hello)
    turns = turns_of(store, agent)
    events = await events_of(await start(turns, thread, key="k"))
    problem = problem_of(events)
    assert (problem.type, problem.request_id) == (type, "req_1")
    assert problem.retry_after == (7 if type == "model_throttled" else None)
    assert "secret" not in problem.model_dump_json()
    [message] = await messages_of(store, thread)
    assert (message.status, message.problem) == ("failed", problem)

    events = await events_of(await start(turns, thread, key="k"))
    assert events[-1].type == "message.completed"
    assert [(m.content, m.status) for m in await messages_of(store, thread)] == [
        ("hi", "completed"),
        ("Hello there", "completed"),
    ]
    assert agent.runs[-1][0] == []


async def test_a_turn_past_its_deadline_fails(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turns = turns_of(store, ScriptedAgent(gate), turn_timeout_seconds=0.05)
    events = await events_of(await start(turns, thread))
    assert problem_of(events).type == "turn_timeout"
    assert gate.cancelled
    assert (await messages_of(store, thread))[0].status == "failed"


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

    async def commit_turn(self, turn: StartedTurn, *, message: Message, reply: Message | None, final_event_id: int) -> None:
        if self.commit_errors and (error := self.commit_errors.pop()):
            raise error
        await super().commit_turn(turn, message=message, reply=reply, final_event_id=final_event_id)
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


async def test_a_renewal_that_fails_for_a_moment_is_tried_again(watched: WatchedStore) -> None:
    thread = await watched.create_thread(OWNER, title=None, metadata={})
    gate = Gate()
    turns = turns_of(watched, ScriptedAgent(gate), IMPATIENT)
    watched.renewal_error = StoreUnavailable()
    turn = await start(turns, thread)
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


async def test_stopping_lets_turns_finish_and_refuses_new_ones(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turns = turns_of(store, ScriptedAgent(gate))
    turn = await start(turns, thread)
    await gate.reached.wait()
    closing = asyncio.create_task(turns.close(grace_seconds=30))
    await asyncio.sleep(0)
    with pytest.raises(TurnInterrupted):
        await start(turns, thread)
    gate.opened.set()
    await closing
    assert (await events_of(turn))[-1].type == "message.completed"


async def test_stopping_interrupts_what_does_not_finish(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turns = turns_of(store, ScriptedAgent(gate))
    turn = await start(turns, thread)
    await gate.reached.wait()
    await turns.close(grace_seconds=0)
    assert problem_of(await events_of(turn)).type == "turn_interrupted"
    assert [(m.content, m.status) for m in await messages_of(store, thread)] == [("hi", "interrupted")]
    assert (await events_of(await start(turns_of(store, ScriptedAgent(say_hello)), thread)))[-1].type == "message.completed"


async def test_the_model_is_shown_a_window_of_the_history(store: SqliteStore, thread: Thread) -> None:
    agent = ScriptedAgent(say_hello)
    turns = turns_of(store, agent, history_max_messages=4)
    for number in range(5):
        await events_of(await start(turns, thread, f"question {number}"))
    history, message, stream = agent.runs[-1]
    assert [m.seq for m in history] == [5, 6, 7, 8]
    assert (message.content, stream) == ("question 4", False)
