"""What every thread store promises about idempotency keys: one message and one answer, however often it is sent."""

from __future__ import annotations

import asyncio

import pytest
import time_machine

from errors import IdempotencyKeyReused, LeaseLost, ThreadNotFound, TurnInProgress
from models import Message, Owner, Thread, new_id, utcnow
from stores.contract import ThreadStore
from stores.types import NewMessage, ReplayedTurn, StartedTurn
from tests.support.stores import ANN, LATER, Backend, ask, begin, end, messages, states, talk

ASKED, ANSWERED = (1, "user", "completed"), (2, "assistant", "completed")


async def replayed(store: ThreadStore, thread_id: str, new: NewMessage) -> Message:
    outcome = await store.begin_turn(ANN, thread_id, new, lease_seconds=30, history_limit=40)
    assert isinstance(outcome, ReplayedTurn)
    return outcome.message


async def test_a_repeated_key_gives_the_first_answer(store: ThreadStore, thread: Thread) -> None:
    reply = await talk(store, thread.id, "2 + 2?", key="k")
    assert await replayed(store, thread.id, ask("2 + 2?", key="k")) == reply
    await begin(store, thread.id, ask("Something else"))
    assert await replayed(store, thread.id, ask("2 + 2?", key="k")) == reply
    assert len(await messages(store, thread.id)) == 3


async def test_an_answer_is_found_without_taking_anything(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id, ask("2 + 2?", key="k"))
    assert await store.find_replay(ANN, thread.id, ask("2 + 2?", key="k")) is None
    reply = await end(store, turn)
    async with backend.new() as other:
        found = await other.find_replay(ANN, thread.id, ask("2 + 2?", key="k"))
        assert found is not None
        assert found.message == reply
        assert await other.find_replay(ANN, thread.id, ask("2 + 2?", key="another")) is None
        with pytest.raises(IdempotencyKeyReused):
            await other.find_replay(ANN, thread.id, ask("3 + 3?", key="k"))
        with pytest.raises(ThreadNotFound):
            await other.find_replay(Owner("acme", "bob"), thread.id, ask("2 + 2?", key="k"))
    assert await states(store, thread.id) == [ASKED, ANSWERED]


async def test_a_key_with_another_body_is_refused(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id, NewMessage(new_id("turn"), "Hi", {"a": 1, "b": 2}, "k"))
    others = [NewMessage(new_id("turn"), "Ho", {"a": 1, "b": 2}, "k"), NewMessage(new_id("turn"), "Hi", {"a": 1}, "k")]
    for new in others:
        with pytest.raises(IdempotencyKeyReused):
            await begin(store, thread.id, new)
    await end(store, turn)
    for new in others:
        with pytest.raises(IdempotencyKeyReused):
            await begin(store, thread.id, new)
    assert await replayed(store, thread.id, NewMessage(new_id("turn"), "Hi", {"b": 2, "a": 1}, "k"))


async def test_a_key_belongs_to_one_thread(store: ThreadStore, thread: Thread) -> None:
    await talk(store, thread.id, "Hi", key="k")
    other = await store.create_thread(ANN, title=None, metadata={})
    await talk(store, other.id, "Ho", key="k")
    assert await states(store, other.id) == [ASKED, ANSWERED]


async def test_a_key_whose_turn_runs_is_in_progress(store: ThreadStore, thread: Thread) -> None:
    await begin(store, thread.id, ask(key="k"))
    with pytest.raises(TurnInProgress):
        await begin(store, thread.id, ask(key="k"))


async def test_many_attempts_with_one_key_at_once(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    async with backend.new() as other:
        attempts = (begin(each, thread.id, ask(key="k")) for _ in range(10) for each in (store, other))
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(outcome, StartedTurn) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, TurnInProgress) for outcome in outcomes) == 19


@pytest.mark.parametrize("turns_between", [0, 2])
async def test_a_failed_key_runs_again_for_the_same_message(store: ThreadStore, thread: Thread, turns_between: int) -> None:
    await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
    for _ in range(turns_between):
        await talk(store, thread.id)
    stored = await messages(store, thread.id)
    turn = await begin(store, thread.id, ask(key="k"))
    assert (turn.is_retry, turn.message.seq, turn.message.status) == (True, 1, "running")
    assert turn.message.timestamp == stored[0].timestamp
    assert list(turn.history) == stored[1:]
    assert turn.reply_seq == len(stored) + 1
    assert turn.thread.message_count == len(stored)
    assert [each.status for each in await messages(store, thread.id)] == ["running"] + ["completed"] * 2 * turns_between
    reply = await end(store, turn)
    after = await messages(store, thread.id)
    assert after == [turn.message.model_copy(update={"status": "completed"}), *stored[1:], reply]
    assert await replayed(store, thread.id, ask(key="k")) == reply


async def test_a_key_may_fail_again_and_again(store: ThreadStore, thread: Thread) -> None:
    for _ in range(3):
        await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
        assert await states(store, thread.id) == [(1, "user", "failed")]
    await talk(store, thread.id, key="k")
    assert await states(store, thread.id) == [ASKED, ANSWERED]


@pytest.mark.parametrize("turns_between", [0, 1])
async def test_an_interrupted_key_runs_again_for_the_same_message(
    store: ThreadStore, thread: Thread, turns_between: int
) -> None:
    old = await begin(store, thread.id, ask(key="k"))
    with time_machine.travel(utcnow() + LATER, tick=True) as clock:
        for _ in range(turns_between):
            await talk(store, thread.id)
        turn = await begin(store, thread.id, ask(key="k"))
        assert (turn.is_retry, turn.message.id) == (True, old.message.id)
        assert [each.seq for each in turn.history] == list(range(2, 2 + 2 * turns_between))
        with pytest.raises(LeaseLost):
            await end(store, old)
        clock.shift(31)
        assert (await states(store, thread.id))[0] == (1, "user", "interrupted")
        turn = await begin(store, thread.id, ask(key="k"))
        reply = await end(store, turn)
    assert (await states(store, thread.id))[0] == ASKED
    assert (await messages(store, thread.id))[-1] == reply
    assert len(await messages(store, thread.id)) == 2 + 2 * turns_between


async def test_another_turn_takes_over_from_a_second_attempt(store: ThreadStore, thread: Thread) -> None:
    await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
    again = await begin(store, thread.id, ask(key="k"))
    with time_machine.travel(utcnow() + LATER, tick=True):
        turn = await begin(store, thread.id)
        assert [(each.seq, each.status) for each in turn.history] == [(1, "interrupted")]
        with pytest.raises(LeaseLost):
            await end(store, again)
        await end(store, turn)
        assert await states(store, thread.id) == [
            (1, "user", "interrupted"),
            (2, "user", "completed"),
            (3, "assistant", "completed"),
        ]


async def test_a_cancelled_turn_keeps_and_replays_the_partial_answer(store: ThreadStore, thread: Thread) -> None:
    reply = await end(store, await begin(store, thread.id, ask(key="k")), "cancelled", content="It is …")
    assert await states(store, thread.id) == [(1, "user", "cancelled"), (2, "assistant", "cancelled")]
    assert await replayed(store, thread.id, ask(key="k")) == reply
