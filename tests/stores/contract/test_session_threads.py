"""Threads for session ids of their owners: one for each, whoever races, and a new one after a deletion."""

from __future__ import annotations

import asyncio

import pytest

from errors import LeaseLost, ThreadNotFound
from events import MessageDelta
from models import Owner
from stores.contract import ThreadStore
from stores.types import EventBatch, TurnEnd
from tests.support.stores import ANN, BOB, Backend, answer, ask, begin, messages, talk

NAMES = ["session-42", "ünïcode ✓ and / ? # \\", "x" * 255, "'; DROP TABLE threads; --", "msg_1", "erasure"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_session_id_is_one_thread_for_its_owner_ever_after(backend: Backend, name: str) -> None:
    async with backend.new() as store, backend.new() as other:
        thread = await store.open_session_thread(ANN, name)
        assert (thread.external_id, thread.title, thread.metadata, thread.message_count) == (name, None, {}, 0)
        await talk(store, thread.id)
        again = await other.open_session_thread(ANN, name)
        assert (again.id, again.external_id, again.message_count) == (thread.id, name, 2)
        listed = (await other.list_threads(ANN, status=None, limit=10, cursor=None)).items
        assert [(each.id, each.external_id) for each in listed] == [(thread.id, name)]
        assert (await other.get_thread(ANN, thread.id)).external_id == name
        assert (await other.update_thread(ANN, thread.id, {"title": "Mine"})).external_id == name


async def test_other_threads_have_none(store: ThreadStore) -> None:
    assert (await store.create_thread(ANN, title=None, metadata={})).external_id is None


async def test_owners_with_the_same_session_id_have_threads_of_their_own(store: ThreadStore) -> None:
    owners = [ANN, BOB, Owner("a", "bc"), Owner("ab", "c")]
    threads = [await store.open_session_thread(owner, "s") for owner in owners]
    assert len({thread.id for thread in threads}) == 4
    for owner, thread in zip(owners[1:], threads[:-1], strict=True):
        with pytest.raises(ThreadNotFound):
            await store.get_thread(owner, thread.id)


async def test_a_race_of_first_uses_makes_one(backend: Backend) -> None:
    async with backend.new() as store, backend.new() as other:
        threads = await asyncio.gather(*(each.open_session_thread(ANN, "s") for each in (store, other) * 8))
        assert len({(thread.id, thread.created_at) for thread in threads}) == 1
        assert len((await store.list_threads(ANN, status=None, limit=10, cursor=None)).items) == 1


async def test_a_deleted_one_begins_anew_and_what_comes_late_is_refused(store: ThreadStore) -> None:
    old = await store.open_session_thread(ANN, "s")
    await talk(store, old.id, "secret", key="k")
    turn = await begin(store, old.id)
    await store.delete_thread(ANN, old.id)
    new = await store.open_session_thread(ANN, "s")
    assert (new.id, new.message_count, new.last_message_preview) == (old.id, 0, None)
    assert new.created_at > old.created_at
    with pytest.raises(LeaseLost):
        await store.renew_lease(turn, lease_seconds=30)
    with pytest.raises(LeaseLost):
        await store.commit_turn(turn, TurnEnd(message=turn.message, reply=answer(turn), final_event_id=9))
    assert await messages(store, new.id) == []
    started = await begin(store, new.id, ask("hello", key="k"))
    assert (started.message.seq, started.history, started.is_retry) == (1, [], False)
    with pytest.raises(LeaseLost):
        await store.commit_turn(turn, TurnEnd(message=turn.message, reply=answer(turn), final_event_id=9))
    assert [(message.content, message.status) for message in await messages(store, new.id)] == [("hello", "running")]


async def test_events_of_a_deleted_one_are_not_kept_in_the_new_one(backend: Backend) -> None:
    async with backend.new() as store:
        old = await store.open_session_thread(ANN, "s")
        turn = await begin(store, old.id)
        events = [MessageDelta(id=1, turn_id=turn.turn_id, text="secret")]
        batch = EventBatch(old.id, turn.turn_id, events, 3600, turn.thread.created_at)
        assert await store.save_events([batch]) == [None]
        assert len((await store.get_progress(ANN, old.id, turn.turn_id, after=0)).events) == 1
        await store.delete_thread(ANN, old.id)
        await store.open_session_thread(ANN, "s")
        assert await store.save_events([batch]) == [None]
    assert "secret" not in await backend.everything()
