"""What every thread store promises about feedback on answers and about the state of its users."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from errors import MessageNotFound, NotAnAnswer, StateChanged, ThreadNotFound
from models import Citation, Feedback, Thread, UserState, message_id, new_id
from stores.contract import ThreadStore
from stores.types import ReplayedTurn, TurnEnd
from tests.support.stores import ANN, BOB, Backend, answer, ask, begin, end, messages, talk

VALUES: dict[str, Any] = {"日本": [1, None, {"a": 2.5}]}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
UP = Feedback(rating="up", comment=None, timestamp=NOON)
DOWN = Feedback(rating="down", comment="Größe 日本 👋", timestamp=NOON)


# Feedback


async def test_feedback_stands_on_its_answer_until_it_is_taken_back(
    backend: Backend, store: ThreadStore, thread: Thread
) -> None:
    reply = await talk(store, thread.id)
    for feedback in (UP, DOWN, DOWN, None, None, UP):
        expected = reply.model_copy(update={"feedback": feedback})
        assert await store.set_feedback(ANN, thread.id, reply.id, feedback) == expected
        async with backend.new() as other:
            assert (await messages(other, thread.id))[1] == expected
            turn = (await other.get_progress(ANN, thread.id, reply.turn_id, after=None)).turn
            assert turn.message == expected


async def test_feedback_changes_nothing_else(store: ThreadStore, thread: Thread) -> None:
    reply = await talk(store, thread.id)
    newer = await store.create_thread(ANN, title="Newer", metadata={})
    before = await store.get_thread(ANN, thread.id)
    question = (await messages(store, thread.id))[0]
    await store.set_feedback(ANN, thread.id, reply.id, UP)
    assert await store.get_thread(ANN, thread.id) == before
    assert (await store.list_threads(ANN, status=None, limit=9, cursor=None)).items == [newer, before]
    assert (await messages(store, thread.id))[0] == question


async def test_feedback_while_a_turn_runs_leaves_it_alone(store: ThreadStore, thread: Thread) -> None:
    reply = await talk(store, thread.id)
    turn = await begin(store, thread.id, ask("And 3 + 3?"))
    rated = await store.set_feedback(ANN, thread.id, reply.id, DOWN)
    await store.renew_lease(turn, lease_seconds=60)
    assert not await store.is_cancel_requested(turn)
    last = await end(store, turn, content="6")
    assert [each for each in await messages(store, thread.id) if each.role == "assistant"] == [rated, last]


async def test_a_partial_answer_takes_feedback(store: ThreadStore, thread: Thread) -> None:
    reply = await end(store, await begin(store, thread.id), "cancelled", content="It is")
    assert reply
    assert (await store.set_feedback(ANN, thread.id, reply.id, UP)).feedback == UP


async def test_a_replayed_answer_has_its_feedback(store: ThreadStore, thread: Thread) -> None:
    reply = await talk(store, thread.id, key="k")
    rated = await store.set_feedback(ANN, thread.id, reply.id, UP)
    again = await store.begin_turn(ANN, thread.id, ask(key="k"), lease_seconds=30, history_limit=40)
    assert again == ReplayedTurn(rated)


async def test_citations_are_stored_with_the_answer(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id)
    source = Citation(index=1, id="refunds", title="Refunds", url=None, snippet="Within 14 days.")
    reply = answer(turn).model_copy(update={"citations": [source]})
    message = turn.message.model_copy(update={"status": "completed"})
    await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9))
    await store.set_feedback(ANN, thread.id, reply.id, UP)
    assert [each.citations for each in await messages(store, thread.id)] == [[], [source]]


async def test_messages_that_are_no_answers(store: ThreadStore, thread: Thread) -> None:
    reply = await talk(store, thread.id)
    running = await begin(store, thread.id)
    for asked in (message_id(thread.id, 1), running.message.id):
        with pytest.raises(NotAnAnswer):
            await store.set_feedback(ANN, thread.id, asked, UP)
    elsewhere = await talk(store, (await store.create_thread(ANN, title=None, metadata={})).id)
    missing = [message_id(thread.id, 4), elsewhere.id, reply.turn_id, thread.id, "nonsense", "ä/?#", "msg_" + "0" * 32 + "_2"]
    for id in missing:
        with pytest.raises(MessageNotFound):
            await store.set_feedback(ANN, thread.id, id, UP)
    assert [each.feedback for each in await messages(store, thread.id)] == [None] * 3


async def test_feedback_on_threads_that_are_not_there(store: ThreadStore, thread: Thread) -> None:
    reply = await talk(store, thread.id)
    for owner, id in ((BOB, thread.id), (ANN, new_id("thread")), (ANN, "nonsense")):
        with pytest.raises(ThreadNotFound):
            await store.set_feedback(owner, id, reply.id, UP)
    assert (await messages(store, thread.id))[1] == reply
    await store.delete_thread(ANN, thread.id)
    with pytest.raises(ThreadNotFound):
        await store.set_feedback(ANN, thread.id, reply.id, UP)


# The user's state


async def test_a_state_is_empty_then_stored_then_replaced(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    assert await store.get_user_state(ANN) == UserState()
    new = UserState(
        thread_id=thread.id, preferences={"units": "imperial"}, last_feedback=NOON, values={"日本": [1, None, {"a": 2.5}]}
    )
    first = await store.put_user_state(ANN, new)
    assert first.etag
    assert first.model_copy(update={"etag": None}) == new
    second = await store.put_user_state(ANN, first.model_copy(update={"preferences": {}, "values": {}}))
    assert second.etag not in (None, first.etag)
    async with backend.new() as other:
        assert await other.get_user_state(ANN) == second
        assert await other.get_user_state(BOB) == UserState()


async def test_a_state_that_changed_meanwhile_is_not_overwritten(store: ThreadStore) -> None:
    first = await store.put_user_state(ANN, UserState(preferences={"units": "metric"}))
    second = await store.put_user_state(ANN, first.model_copy(update={"preferences": {"units": "imperial"}}))
    for stale in (UserState(), first, first.model_copy(update={"etag": "nonsense"})):
        with pytest.raises(StateChanged):
            await store.put_user_state(ANN, stale)
    with pytest.raises(StateChanged):
        await store.put_user_state(BOB, second)
    assert await store.get_user_state(ANN) == second


@pytest.mark.parametrize("exists", [False, True])
async def test_one_of_many_changes_at_once_wins(backend: Backend, store: ThreadStore, exists: bool) -> None:
    state = await store.put_user_state(ANN, UserState()) if exists else UserState()
    # All write the same, and only one of them may be told that it did.
    change = state.model_copy(update={"preferences": {"units": "metric"}})
    async with backend.new() as other:
        outcomes = await asyncio.gather(
            *(each.put_user_state(ANN, change) for each in (store, other) * 8), return_exceptions=True
        )
    (won,) = [each for each in outcomes if isinstance(each, UserState)]
    assert sum(isinstance(each, StateChanged) for each in outcomes) == 15
    assert await store.get_user_state(ANN) == won


async def test_a_state_is_no_thread(store: ThreadStore, thread: Thread) -> None:
    await store.put_user_state(ANN, UserState(thread_id=thread.id))
    assert [each.id for each in (await store.list_threads(ANN, status=None, limit=9, cursor=None)).items] == [thread.id]
    assert await store.list_thread_ids(ANN, limit=9, after=None) == [thread.id]
    with pytest.raises(ThreadNotFound):
        await store.get_thread(ANN, "user_state")
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(ANN, "user_state")


async def test_an_erasure_takes_the_state_and_leaves_those_of_others(store: ThreadStore) -> None:
    await store.put_user_state(ANN, UserState(preferences={"units": "metric"}))
    others = await store.put_user_state(BOB, UserState(preferences={"units": "metric"}))
    erasure = await store.begin_erasure(ANN)
    assert not await store.erase_threads(ANN, erasure.id, limit=3)
    late = await store.put_user_state(ANN, UserState(preferences={"units": "imperial"}))
    assert not await store.complete_erasure(ANN, erasure.id)
    assert not await store.erase_threads(ANN, erasure.id, limit=3)
    with pytest.raises(StateChanged):
        await store.put_user_state(ANN, late)
    assert await store.complete_erasure(ANN, erasure.id)
    assert await store.get_user_state(ANN) == UserState()
    assert await store.get_user_state(BOB) == others
    await store.put_user_state(ANN, UserState(preferences={"units": "metric"}))
    assert not await store.erase_threads(ANN, erasure.id, limit=3)
    assert (await store.get_user_state(ANN)).preferences == {"units": "metric"}
