"""What every thread store promises about a turn: from begin to commit, on one lease at a time, also after a crash."""

from __future__ import annotations

import asyncio

import pytest
import time_machine

from errors import LeaseLost, TurnInProgress
from models import Problem, Thread, utcnow
from stores.contract import ThreadStore
from stores.types import StartedTurn, TurnEnd
from tests.support.stores import ANN, LATER, Backend, answer, ask, begin, end, messages, states, talk

ASKED, ANSWERED = (1, "user", "completed"), (2, "assistant", "completed")


async def test_a_turn_from_begin_to_commit(store: ThreadStore, thread: Thread) -> None:
    new = ask("What is 2 + 2?")
    turn = await begin(store, thread.id, new)
    assert (turn.owner, turn.turn_id, turn.reply_seq, turn.idempotency_key) == (ANN, new.turn_id, 2, None)
    assert (list(turn.history), turn.is_retry) == ([], False)
    assert (turn.thread.id, turn.thread.title, turn.thread.message_count) == (thread.id, "Sums", 1)
    assert (turn.message.role, turn.message.content, turn.message.metadata) == ("user", new.content, new.metadata)
    reply = await end(store, turn, content="It  is\n4.")
    assert await messages(store, thread.id) == [turn.message.model_copy(update={"status": "completed"}), reply]
    after = await store.get_thread(ANN, thread.id)
    assert (after.message_count, after.last_message_preview) == (2, "It is 4.")
    assert after.updated_at >= thread.updated_at


@pytest.mark.parametrize(
    ("limit", "seqs"), [(0, []), (1, [6]), (5, [2, 3, 4, 5, 6]), (6, [1, 2, 3, 4, 5, 6]), (99, [1, 2, 3, 4, 5, 6])]
)
async def test_history_is_the_latest_messages_oldest_first(
    store: ThreadStore, thread: Thread, limit: int, seqs: list[int]
) -> None:
    for _ in range(3):
        await talk(store, thread.id)
    stored = await messages(store, thread.id)
    turn = await begin(store, thread.id, history=limit)
    assert list(turn.history) == [message for message in stored if message.seq in seqs]


async def test_a_failed_turn_keeps_the_message_and_frees_the_thread(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id)
    problem = Problem(type="model_unavailable", title="No model", status=503, detail="Gone.", retryable=True)
    failed = turn.message.model_copy(update={"status": "failed", "problem": problem})
    await store.commit_turn(turn, TurnEnd(message=failed, reply=None, final_event_id=9))
    assert await messages(store, thread.id) == [failed]
    assert (await store.get_thread(ANN, thread.id)).message_count == 1
    turn = await begin(store, thread.id)
    assert (list(turn.history), turn.message.seq) == ([failed], 2)


async def test_one_of_many_turns_at_once_wins(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    async with backend.new() as other:
        attempts = (begin(each, thread.id) for _ in range(20) for each in (store, other))
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        (winner,) = [outcome for outcome in outcomes if isinstance(outcome, StartedTurn)]
        assert sum(isinstance(outcome, TurnInProgress) for outcome in outcomes) == 39
        await end(other, winner)
    assert await states(store, thread.id) == [ASKED, ANSWERED]


async def test_many_takeovers_of_one_expired_lease(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    await begin(store, thread.id)
    with time_machine.travel(utcnow() + LATER, tick=True):
        async with backend.new() as other:
            attempts = (begin(each, thread.id) for _ in range(10) for each in (store, other))
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(outcome, StartedTurn) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, TurnInProgress) for outcome in outcomes) == 19
        assert await states(store, thread.id) == [(1, "user", "interrupted"), (2, "user", "running")]


async def test_a_turn_in_progress_says_when_to_come_back(store: ThreadStore, thread: Thread) -> None:
    await begin(store, thread.id, lease=1.5)
    with pytest.raises(TurnInProgress) as refused:
        await begin(store, thread.id)
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 1.5


async def test_a_renewed_lease_lives_on(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id, lease=30)
    with time_machine.travel(utcnow(), tick=True) as clock:
        clock.shift(20)
        await store.renew_lease(turn, lease_seconds=30)
        clock.shift(20)
        with pytest.raises(TurnInProgress):
            await begin(store, thread.id)
        assert await states(store, thread.id) == [(1, "user", "running")]
        clock.shift(20)
        assert await states(store, thread.id) == [(1, "user", "interrupted")]


async def test_an_expired_lease_that_nobody_took_still_commits(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id)
    with time_machine.travel(utcnow() + LATER, tick=True):
        await end(store, turn)
        assert await states(store, thread.id) == [ASKED, ANSWERED]


async def test_after_a_takeover_the_old_turn_stores_nothing(store: ThreadStore, thread: Thread) -> None:
    old = await begin(store, thread.id, ask("old", key="k"))
    with time_machine.travel(utcnow() + LATER, tick=True):
        turn = await begin(store, thread.id, ask("new"))
        assert [(each.seq, each.content, each.status) for each in turn.history] == [(1, "old", "interrupted")]
        before = await messages(store, thread.id)
        with pytest.raises(LeaseLost):
            await store.renew_lease(old, lease_seconds=30)
        with pytest.raises(LeaseLost):
            await end(store, old)
        assert await messages(store, thread.id) == before
        await end(store, turn)
        with pytest.raises(LeaseLost):
            await end(store, old)
        assert await states(store, thread.id) == [
            (1, "user", "interrupted"),
            (2, "user", "completed"),
            (3, "assistant", "completed"),
        ]


async def test_committing_again_changes_nothing(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id, ask(key="k"))
    message, reply = turn.message.model_copy(update={"status": "completed"}), answer(turn)
    for _ in range(3):
        await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9))
    assert await messages(store, thread.id) == [message, reply]
    await talk(store, thread.id)
    await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9))
    assert len(await messages(store, thread.id)) == 4
