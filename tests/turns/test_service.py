"""One turn, from begin to end, on the real embedded store with a scripted agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.run import RunObserver
from calls import ToolCall
from errors import ContextOverflow, ModelThrottled, TurnInProgress, TurnInterrupted
from events import MessageCompleted, MessageDelta, ReasoningDelta, ToolCompleted, ToolStarted, TurnStarted
from models import Thread
from stores.sqlite.store import SqliteStore
from tests.fakes.agent import ScriptedAgent, say_hello
from tests.support.scripted_turns import OWNER, Gate, events_of, messages_of, problem_of, start, turns_of


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "chat.db") as store:
        yield store


@pytest.fixture
async def thread(store: SqliteStore) -> Thread:
    return await store.create_thread(OWNER, title=None, metadata={})


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


async def test_reasoning_is_an_event_and_stays_with_the_reply(store: SqliteStore, thread: Thread) -> None:
    async def script(observer: RunObserver) -> None:
        observer.reasoning("Hm")
        observer.reasoning(".")
        await say_hello(observer)

    turns = turns_of(store, ScriptedAgent(script))
    events = await events_of(turn := await start(turns, thread))
    _, answer = await messages_of(store, thread)
    assert events[1:3] == [ReasoningDelta(id=id, turn_id=turn.id, text=text) for id, text in ((2, "Hm"), (3, "."))]
    assert events[-1] == MessageCompleted(id=6, turn_id=turn.id, message=answer)
    assert (answer.content, answer.reasoning) == ("Hello there", "Hm.")
    await turns.close(grace_seconds=1)


async def test_a_model_that_has_begun_to_think_is_not_asked_again(store: SqliteStore, thread: Thread) -> None:
    async def overflow(observer: RunObserver) -> None:
        observer.reasoning("Hm.")
        raise ContextOverflow

    turns = turns_of(store, ScriptedAgent(say_hello, overflow, say_hello))
    ends = [(await events_of(await start(turns, thread)))[-1].type for _ in range(2)]
    assert ends == ["message.completed", "turn.failed"]
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


async def test_a_run_that_was_refused_counts_beside_the_one_with_less_history(store: SqliteStore, thread: Thread) -> None:
    """Audit H3: a server may say it late, in the middle of a stream."""

    async def overflow(_: RunObserver) -> None:
        raise ContextOverflow

    turns = turns_of(store, ScriptedAgent(say_hello, overflow, say_hello))
    for _ in range(2):
        assert (await events_of(await start(turns, thread)))[-1].type == "message.completed"
    await turns.close(grace_seconds=5)
    assert (await turns._context.quotas.usage(OWNER))[0].tokens_today == 3 * 8


async def test_a_message_that_stopping_kept_from_being_stored_is_not_said_to_be_kept(
    store: SqliteStore, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "begin_turn", hang)
    turns = turns_of(store, ScriptedAgent(say_hello))
    starting = asyncio.create_task(start(turns, thread))
    await begun.wait()
    await turns.close(grace_seconds=0)
    with pytest.raises(TurnInterrupted, match="stopping"):
        await starting
    assert await messages_of(store, thread) == []
