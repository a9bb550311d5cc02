"""What every thread store promises about turns as others see them: their state, their events, and cancelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine

from calls import ToolCall
from errors import LeaseLost, ThreadNotFound, TurnEnded, TurnInterrupted, TurnNotFound
from events import MessageDelta, ReasoningDelta, ToolCompleted, ToolStarted, TurnEvent, TurnStarted
from models import Problem, Thread, Turn, new_id, utcnow
from stores.contract import ThreadStore
from stores.types import EventBatch, ReplayedTurn, TurnEnd, TurnProgress
from tests.support.stores import ANN, BOB, LATER, Backend, answer, ask, begin, end, messages, talk


async def turn_of(store: ThreadStore, thread: Thread, turn_id: str) -> Turn:
    progress = await store.get_progress(ANN, thread.id, turn_id, after=None)
    assert progress.events == []
    return progress.turn


def piece(turn_id: str, id: int, text: str = "…") -> TurnEvent:
    return MessageDelta(id=id, turn_id=turn_id, text=text)


def batch(thread: Thread, turn_id: str, ids: Sequence[int], *, seconds: int = 3600) -> EventBatch:
    return EventBatch(thread.id, turn_id, [piece(turn_id, id) for id in ids], seconds)


async def test_reasoning_is_kept_with_the_reply_and_the_events(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    started = await begin(store, thread.id, ask(key="k"))
    events: list[TurnEvent] = [ReasoningDelta(id=1, turn_id=started.turn_id, text="Hm. ✓"), piece(started.turn_id, 2)]
    await store.save_events([EventBatch(thread.id, started.turn_id, events, 3600)])
    reply = answer(started).model_copy(update={"reasoning": "Hm. ✓"})
    await store.commit_turn(started, TurnEnd(message=started.message, reply=reply, final_event_id=3))
    async with backend.new() as other:
        assert (await messages(other, thread.id))[-1] == reply
        progress = await other.get_progress(ANN, thread.id, started.turn_id, after=0)
        assert (progress.turn.message, progress.events) == (reply, events)
        replayed = await other.begin_turn(ANN, thread.id, ask(key="k"), lease_seconds=30, history_limit=9)
        assert replayed == ReplayedTurn(reply)
        assert (await begin(other, thread.id)).history[-1] == reply


async def test_a_reply_without_reasoning_is_stored_without_it(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    await talk(store, thread.id)
    assert "reasoning" not in await backend.everything()


async def event_ids(store: ThreadStore, thread: Thread, turn_id: str, after: int = 0) -> list[int]:
    return [event.id for event in (await store.get_progress(ANN, thread.id, turn_id, after=after)).events]


async def test_a_running_turn(store: ThreadStore, thread: Thread) -> None:
    before = utcnow()
    started = await begin(store, thread.id)
    turn = await turn_of(store, thread, started.turn_id)
    assert (turn.id, turn.thread_id, turn.status) == (started.turn_id, thread.id, "running")
    assert (turn.message, turn.problem, turn.ended_at) == (None, None, None)
    assert before - timedelta(seconds=1) <= turn.started_at <= utcnow()


async def test_a_completed_turn(store: ThreadStore, thread: Thread) -> None:
    started = await begin(store, thread.id)
    reply = await end(store, started)
    progress = await store.get_progress(ANN, thread.id, started.turn_id, after=None)
    turn = progress.turn
    assert (turn.status, turn.message, turn.problem, progress.final_event_id) == ("completed", reply, None, 9)
    assert abs(turn.started_at - started.started_at) < timedelta(milliseconds=1)
    assert turn.ended_at is not None
    assert turn.started_at <= turn.ended_at <= utcnow()


async def test_a_failed_turn_and_the_next_attempt_are_two(store: ThreadStore, thread: Thread) -> None:
    first = await begin(store, thread.id, ask(key="k"))
    problem = Problem(type="model_unavailable", title="No model", status=503, detail="Gone.", retryable=True)
    failed = first.message.model_copy(update={"status": "failed", "problem": problem})
    await store.commit_turn(first, TurnEnd(message=failed, reply=None, final_event_id=3))
    second = await begin(store, thread.id, ask(key="k"))
    reply = await end(store, second)
    turn = await turn_of(store, thread, first.turn_id)
    assert (turn.status, turn.message, turn.problem) == ("failed", None, problem)
    turn = await turn_of(store, thread, second.turn_id)
    assert (turn.status, turn.message, turn.problem) == ("completed", reply, None)


async def test_a_cancelled_turn_keeps_its_partial_answer(store: ThreadStore, thread: Thread) -> None:
    started = await begin(store, thread.id)
    reply = await end(store, started, "cancelled", content="It is …")
    turn = await turn_of(store, thread, started.turn_id)
    assert (turn.status, turn.message) == ("cancelled", reply)


@pytest.mark.parametrize("taken_over", [False, True])
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_turn_whose_process_died_is_interrupted(
    store: ThreadStore, thread: Thread, taken_over: bool, key: str | None
) -> None:
    started = await begin(store, thread.id, ask(key=key))
    with time_machine.travel(utcnow() + LATER, tick=True):
        if taken_over:
            await talk(store, thread.id)
        progress = await store.get_progress(ANN, thread.id, started.turn_id, after=0)
    turn = progress.turn
    assert (turn.status, turn.message, turn.problem) == ("interrupted", None, Problem.of(TurnInterrupted()))
    assert progress.final_event_id is None
    assert turn.ended_at is not None
    assert abs(turn.ended_at - started.started_at - timedelta(seconds=30)) < timedelta(seconds=1)


async def test_a_second_attempt_that_dies_is_interrupted_too(store: ThreadStore, thread: Thread) -> None:
    await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
    again = await begin(store, thread.id, ask(key="k"))
    with time_machine.travel(utcnow() + LATER, tick=True):
        await talk(store, thread.id)
        assert (await turn_of(store, thread, again.turn_id)).status == "interrupted"


async def test_who_was_told_that_a_turn_is_interrupted_is_not_told_otherwise_later(
    backend: Backend, store: ThreadStore, thread: Thread
) -> None:
    """Its process was only slow, or its clock is behind: it must not end the turn in another way any more."""
    turn = await begin(store, thread.id, ask(key="key"))
    async with backend.new() as other:
        with time_machine.travel(utcnow() + LATER):
            assert (await turn_of(other, thread, turn.turn_id)).status == "interrupted"
        with pytest.raises(LeaseLost):
            await end(store, turn)
        assert (await turn_of(other, thread, turn.turn_id)).status == "interrupted"
        found = await other.get_thread(ANN, thread.id)
        assert (found.message_count, found.last_message_preview) == (1, "What is 2 + 2?")
        assert await talk(other, thread.id, key="key")


async def test_turns_that_are_not_there(store: ThreadStore, thread: Thread) -> None:
    started = await begin(store, thread.id)
    other = await store.create_thread(ANN, title=None, metadata={})
    for thread_id, turn_id in ((thread.id, new_id("turn")), (other.id, started.turn_id)):
        with pytest.raises(TurnNotFound):
            await store.get_progress(ANN, thread_id, turn_id, after=0)
        with pytest.raises(TurnNotFound):
            await store.request_cancel(ANN, thread_id, turn_id)
    for owner, thread_id in ((BOB, thread.id), (ANN, new_id("thread"))):
        with pytest.raises(ThreadNotFound):
            await store.get_progress(owner, thread_id, started.turn_id, after=0)
        with pytest.raises(ThreadNotFound):
            await store.request_cancel(owner, thread_id, started.turn_id)
    assert not await store.is_cancel_requested(started)


# Cancelling


async def test_the_wish_to_cancel_reaches_another_process(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    started = await begin(store, thread.id)
    assert not await store.is_cancel_requested(started)
    async with backend.new() as other:
        await other.request_cancel(ANN, thread.id, started.turn_id)
        await other.request_cancel(ANN, thread.id, started.turn_id)
    assert await store.is_cancel_requested(started)
    await store.renew_lease(started, lease_seconds=30)
    assert await store.is_cancel_requested(started)
    await end(store, started, "cancelled")
    assert not await store.is_cancel_requested(await begin(store, thread.id))


async def test_a_turn_that_has_ended_cannot_be_cancelled(store: ThreadStore, thread: Thread) -> None:
    started = await begin(store, thread.id)
    await end(store, started)
    with pytest.raises(TurnEnded):
        await store.request_cancel(ANN, thread.id, started.turn_id)
    running = await begin(store, thread.id)
    with pytest.raises(TurnEnded):
        await store.request_cancel(ANN, thread.id, started.turn_id)
    assert not await store.is_cancel_requested(running)
    with time_machine.travel(utcnow() + LATER, tick=True), pytest.raises(TurnEnded):
        await store.request_cancel(ANN, thread.id, running.turn_id)


async def test_a_turn_without_its_lease_learns_that_it_was_lost(store: ThreadStore, thread: Thread) -> None:
    old = await begin(store, thread.id)
    with time_machine.travel(utcnow() + LATER, tick=True):
        await begin(store, thread.id)
        with pytest.raises(LeaseLost):
            await store.is_cancel_requested(old)
    await store.delete_thread(ANN, thread.id)
    with pytest.raises(LeaseLost):
        await store.is_cancel_requested(old)


# Events


async def test_events_come_back_as_they_were(store: ThreadStore, thread: Thread) -> None:
    turn_id = (await begin(store, thread.id)).turn_id
    result = {"größe": [1, 2.5, None, True, {"日本": "👋\n\u2028"}]}
    events: list[TurnEvent] = [
        TurnStarted(id=1, turn_id=turn_id),
        ToolStarted(id=2, turn_id=turn_id, call_id="call_1", tool="t", arguments={"id": 1, "type": "x"}),
        ToolCompleted(id=3, turn_id=turn_id, call_id="call_1", tool="t", result=result, duration_ms=3),
        piece(turn_id, 4, "Hello\r\n\0"),
    ]
    await store.save_events([EventBatch(thread.id, turn_id, events, 3600)])
    progress = await store.get_progress(ANN, thread.id, turn_id, after=0)
    assert isinstance(progress, TurnProgress)
    assert progress.events == events


async def test_events_behind_any_number(store: ThreadStore, thread: Thread) -> None:
    turn_id = (await begin(store, thread.id)).turn_id
    other_id = new_id("turn")
    await store.save_events([batch(thread, turn_id, [1, 2, 3]), batch(thread, other_id, [1, 2])])
    await store.save_events([batch(thread, turn_id, range(4, 12))])
    await store.save_events([batch(thread, turn_id, [12])])
    for after in range(14):
        assert await event_ids(store, thread, turn_id, after) == list(range(after + 1, 13))


async def test_events_stored_again_come_once(store: ThreadStore, thread: Thread) -> None:
    turn_id = (await begin(store, thread.id)).turn_id
    for ids in ([1, 2], [1, 2], [1, 2, 3, 4], [5], [5, 6]):
        await store.save_events([batch(thread, turn_id, ids)])
    assert await event_ids(store, thread, turn_id) == [1, 2, 3, 4, 5, 6]
    assert await event_ids(store, thread, turn_id, 3) == [4, 5, 6]


@pytest.mark.parametrize("kept", [True, False])
async def test_a_turns_end_tells_whether_it_has_stored_its_events(store: ThreadStore, thread: Thread, kept: bool) -> None:
    started = await begin(store, thread.id)
    assert (await store.get_progress(ANN, thread.id, started.turn_id, after=0)).events_kept
    await end(store, replace(started, events_kept=kept))
    progress = await store.get_progress(ANN, thread.id, started.turn_id, after=0)
    assert (progress.events_kept, progress.final_event_id) == (kept, 9)


@pytest.mark.server_clock
async def test_events_are_forgotten_in_time(store: ThreadStore, thread: Thread) -> None:
    started = await begin(store, thread.id)
    await store.save_events([batch(thread, started.turn_id, [1, 2], seconds=60)])
    await end(store, started)
    with time_machine.travel(utcnow() + timedelta(seconds=50), tick=True) as clock:
        assert await event_ids(store, thread, started.turn_id) == [1, 2]
        clock.shift(20)
        assert await event_ids(store, thread, started.turn_id) == []
        await store.save_events([batch(thread, new_id("turn"), [1])])
        assert (await turn_of(store, thread, started.turn_id)).status == "completed"


async def test_events_of_another_process(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    turn_id = (await begin(store, thread.id)).turn_id
    async with backend.new() as other:
        await other.save_events([batch(thread, turn_id, [1, 2])])
    assert await event_ids(store, thread, turn_id) == [1, 2]


async def test_events_go_with_their_thread(store: ThreadStore, thread: Thread) -> None:
    started = await begin(store, thread.id)
    await store.save_events([batch(thread, started.turn_id, [1, 2])])
    await end(store, started)
    await store.delete_thread(ANN, thread.id)
    await store.save_events([batch(thread, started.turn_id, [3])])
    with pytest.raises(ThreadNotFound):
        await store.get_progress(ANN, thread.id, started.turn_id, after=0)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp would like it in a file
async def test_a_reply_as_large_as_one_may_be_is_stored_in_any_script(store: ThreadStore) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={})
    turn = await begin(store, thread.id, ask("天" * 32_000))
    result = ToolCall(id="call_1", tool="look_up", arguments={}, result="天" * 21_000, error=None, duration_ms=1)
    calls = [result.model_copy(update={"id": f"call_{number}"}) for number in range(20)]
    reply = answer(turn, "天" * 75_000).model_copy(update={"tool_calls": calls})
    await store.commit_turn(turn, TurnEnd(message=turn.message, reply=reply, final_event_id=9))
    assert (await messages(store, thread.id))[-1] == reply
