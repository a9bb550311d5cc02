"""What every thread store promises about an owner's data as a whole: to list it, to erase it, and to let idle threads go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from errors import ErasureNotFound, LeaseLost, ThreadNotFound
from events import MessageDelta
from models import Erasure, Feedback, Owner, Thread, TurnStatus, UserState, new_id, utcnow
from stores.contract import ThreadStore
from stores.owner_contract import RECEIPT_DAYS
from stores.types import EventBatch, OwnedRef
from tests.support.stores import ANN, BOB, Backend, ask, begin, end, messages, talk

NEVER = "erasure_" + "0" * 32
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def new_thread(store: ThreadStore, owner: Owner = ANN, title: str = "Sums") -> Thread:
    return await store.create_thread(owner, title=title, metadata={})


async def erase(store: ThreadStore, owner: Owner = ANN, *, limit: int = 3) -> Erasure:
    """Erase everything, as the eraser does."""
    erasure = await store.begin_erasure(owner)
    while await store.erase_threads(owner, erasure.id, limit=limit):
        pass
    assert await store.complete_erasure(owner, erasure.id)
    return await store.get_erasure(owner, erasure.id)


async def listed(store: ThreadStore, owner: Owner = ANN) -> list[str]:
    page = await store.list_threads(owner, status=None, limit=100, cursor=None)
    return [thread.id for thread in page.items]


# Listing everything


async def test_ids_are_listed_in_their_order_whatever_changes(store: ThreadStore) -> None:
    threads = [await new_thread(store) for _ in range(7)]
    await new_thread(store, BOB)
    ids = sorted(thread.id for thread in threads)
    assert await store.list_thread_ids(ANN, limit=100, after=None) == ids
    seen = await store.list_thread_ids(ANN, limit=3, after=None)
    await store.update_thread(ANN, ids[5], {"title": "changed meanwhile"})
    await store.delete_thread(ANN, ids[4])
    while page := await store.list_thread_ids(ANN, limit=3, after=seen[-1]):
        seen += page
    assert seen == [id for id in ids if id != ids[4]]


async def test_turns_are_listed(store: ThreadStore) -> None:
    thread = await new_thread(store)
    turns = []
    statuses: list[TurnStatus] = ["completed", "cancelled", "failed"]
    for status in statuses:
        turn = await begin(store, thread.id)
        await end(store, turn, status, content=None if status == "failed" else "4")
        turns.append((turn.turn_id, status))
    await begin(store, thread.id)
    found = await store.list_turns(ANN, thread.id, limit=2, after=None)
    assert len(found) == 2
    found += await store.list_turns(ANN, thread.id, limit=2, after=found[-1].id)
    assert [(each.id, each.status) for each in found] == sorted(turns)
    for each in found:
        whole = (await store.get_progress(ANN, thread.id, each.id, after=None)).turn
        assert each == whole.model_copy(update={"message": None})
    for owner, id in ((BOB, thread.id), (ANN, new_id("thread")), (ANN, "nonsense")):
        with pytest.raises(ThreadNotFound):
            await store.list_turns(owner, id, limit=2, after=None)


# Erasure


async def test_nothing_of_an_erased_owner_stays(backend: Backend) -> None:
    ann, bob = Owner("Umbrella", "Ann-Xylophone"), Owner("Umbrella", "Bob")
    async with backend.new() as store:
        others = await new_thread(store, bob, "Bob's own")
        for n in range(4):
            thread = await store.create_thread(ann, title=f"Zanzibar {n}", metadata={"k": "Kilimanjaro"})
            for key in (None, "Quetzalcoatl"):
                turn = await begin(store, thread.id, ask("Where is Xanadu?", key=key), owner=ann)
                events = [MessageDelta(id=1, turn_id=turn.turn_id, text="Ouagadougou")]
                await store.save_events([EventBatch(thread.id, turn.turn_id, events, 3600)])
                reply = await end(store, turn, content="In Ulaanbaatar")
                assert reply
                await store.set_feedback(
                    ann, thread.id, reply.id, Feedback(rating="up", comment="Nebuchadnezzar", timestamp=NOON)
                )
        await store.put_user_state(ann, UserState(thread_id=thread.id, values={"city": "Vladivostok"}))
        running = await begin(store, thread.id, ask("Still Xanadu?"), owner=ann)
        receipt = await erase(store, ann)
        with pytest.raises(LeaseLost):
            await end(store, running)
        await store.save_events([EventBatch(thread.id, running.turn_id, events, 3600)])
        assert (receipt.status, receipt.threads) == ("completed", 4)
        assert await listed(store, ann) == []
        assert await listed(store, bob) == [others.id]
        assert await store.get_erasure(ann, receipt.id) == receipt
    left = await backend.everything()
    words = ["Zanzibar", "Kilimanjaro", "Xanadu", "Ulaanbaatar", "Quetzalcoatl", "Ouagadougou", "Xylophone"]
    words += ["Nebuchadnezzar", "Vladivostok"]
    words += [thread.id, turn.turn_id, running.turn_id]
    assert [word for word in words if word in left] == []
    assert others.id in left


async def test_an_erasure_is_counted_and_timed(store: ThreadStore) -> None:
    for _ in range(5):
        await talk(store, (await new_thread(store)).id)
    before = utcnow()
    erasure = await store.begin_erasure(ANN)
    assert (erasure.status, erasure.threads, erasure.ended_at) == ("running", 0, None)
    assert before - timedelta(seconds=1) <= erasure.started_at <= utcnow()
    assert await store.erase_threads(ANN, erasure.id, limit=3)
    assert await store.get_erasure(ANN, erasure.id) == erasure.model_copy(update={"threads": 3})
    assert not await store.complete_erasure(ANN, erasure.id)
    assert await store.erase_threads(ANN, erasure.id, limit=3)
    assert not await store.erase_threads(ANN, erasure.id, limit=3)
    assert await store.complete_erasure(ANN, erasure.id)
    receipt = await store.get_erasure(ANN, erasure.id)
    assert (receipt.status, receipt.threads) == ("completed", 5)
    assert abs(receipt.started_at - erasure.started_at) < timedelta(milliseconds=1)
    assert receipt.ended_at is not None
    assert erasure.started_at <= receipt.ended_at <= utcnow()


async def test_an_owner_without_data_gets_a_receipt_too(store: ThreadStore) -> None:
    assert (await erase(store)).threads == 0


async def test_there_is_one_running_erasure_an_owner(backend: Backend, store: ThreadStore) -> None:
    await new_thread(store)
    async with backend.new() as other:
        begun = await asyncio.gather(*(each.begin_erasure(ANN) for each in (store, other) * 4))
    first = begun[0]
    assert [each.id for each in begun] == [first.id] * 8
    bobs = await store.begin_erasure(BOB)
    assert bobs.id != first.id
    assert (await erase(store)).id == first.id
    assert (await store.get_erasure(BOB, bobs.id)).status == "running"
    again = await store.begin_erasure(ANN)
    assert again.id != first.id
    assert (await store.get_erasure(ANN, first.id)).status == "completed"


async def test_an_erasure_that_has_ended_is_left_alone(store: ThreadStore) -> None:
    receipt = await erase(store)
    await new_thread(store)
    assert not await store.erase_threads(ANN, receipt.id, limit=3)
    assert len(await listed(store)) == 1
    assert (await erase(store)).threads == 1
    assert await store.complete_erasure(ANN, receipt.id)
    assert await store.get_erasure(ANN, receipt.id) == receipt


async def test_two_processes_on_one_erasure_count_each_thread_once(backend: Backend, store: ThreadStore) -> None:
    for _ in range(12):
        await talk(store, (await new_thread(store)).id)
    erasure = await store.begin_erasure(ANN)

    async def work(store: ThreadStore) -> None:
        while not await store.complete_erasure(ANN, erasure.id):
            await store.erase_threads(ANN, erasure.id, limit=2)

    async with backend.new() as other:
        await asyncio.gather(work(store), work(other), work(store))
    receipt = await store.get_erasure(ANN, erasure.id)
    assert (receipt.status, receipt.threads) == ("completed", 12)
    assert await listed(store) == []


async def test_erasures_that_are_not_there(store: ThreadStore) -> None:
    running = await store.begin_erasure(ANN)
    thread = await new_thread(store)
    for owner, id in ((ANN, NEVER), (BOB, running.id), (ANN, "erasure"), (ANN, thread.id)):
        with pytest.raises(ErasureNotFound):
            await store.get_erasure(owner, id)
    receipt = await erase(store)
    with pytest.raises(ErasureNotFound):
        await store.get_erasure(BOB, receipt.id)


@pytest.mark.server_clock
async def test_a_receipt_expires(store: ThreadStore) -> None:
    receipt = await erase(store)
    running = await store.begin_erasure(ANN)
    with time_machine.travel(utcnow() + timedelta(days=RECEIPT_DAYS - 1), tick=True) as clock:
        assert (await store.get_erasure(ANN, receipt.id)).status == "completed"
        clock.shift(timedelta(days=2))
        with pytest.raises(ErasureNotFound):
            await store.get_erasure(ANN, receipt.id)
        assert (await store.get_erasure(ANN, running.id)).status == "running"


async def test_erasures_are_no_threads(store: ThreadStore) -> None:
    await erase(store)
    thread = await new_thread(store)
    erasure = await store.begin_erasure(ANN)
    assert await listed(store) == [thread.id]
    assert await store.list_thread_ids(ANN, limit=10, after=None) == [thread.id]
    with pytest.raises(ThreadNotFound):
        await store.get_thread(ANN, erasure.id)


async def test_abandoned_erasures_are_found_by_any_process(backend: Backend, store: ThreadStore) -> None:
    ann, bob = await store.begin_erasure(ANN), await store.begin_erasure(BOB)
    await erase(store, Owner("acme", "done"))
    async with backend.new() as other:
        now = utcnow() + timedelta(seconds=1)
        found = await other.abandoned_erasures(stale_since=now)
        assert sorted(found) == sorted([OwnedRef(ANN, ann.id), OwnedRef(BOB, bob.id)])
        assert await other.abandoned_erasures(stale_since=now - timedelta(minutes=1)) == []
        with time_machine.travel(utcnow() + timedelta(minutes=2), tick=True):
            await store.erase_threads(BOB, bob.id, limit=1)
            assert await other.abandoned_erasures(stale_since=utcnow() - timedelta(minutes=1)) == [OwnedRef(ANN, ann.id)]


# Retention


@pytest.mark.server_clock
async def test_idle_threads_of_all_owners_are_found(store: ThreadStore) -> None:
    old = [OwnedRef(owner, (await new_thread(store, owner)).id) for owner in (ANN, BOB, ANN)]
    with time_machine.travel(utcnow() + timedelta(days=10), tick=True):
        await talk(store, old[0].id)
        await new_thread(store)
        since = utcnow() - timedelta(days=1)
        assert sorted(await store.idle_threads(since=since, limit=10)) == sorted(old[1:])
        assert len(await store.idle_threads(since=since, limit=1)) == 1
        for owner, id in old[1:]:
            assert await store.delete_thread(owner, id, idle_since=since)
        assert await store.idle_threads(since=since, limit=10) == []
    assert len(await listed(store)) == 2
    assert await listed(store, BOB) == []


@pytest.mark.server_clock
async def test_idle_threads_of_conversations_are_found_apart(store: ThreadStore) -> None:
    group, odd = Owner("bot:acme", "conversation"), Owner("bottle", "ann")
    threads = {owner: OwnedRef(owner, (await new_thread(store, owner)).id) for owner in (ANN, group, odd)}
    with time_machine.travel(utcnow() + timedelta(days=10), tick=True):
        since = utcnow() - timedelta(days=1)
        assert await store.idle_threads(since=since, limit=9, conversations=True) == [threads[group]]
        others = await store.idle_threads(since=since, limit=9, conversations=False)
        assert sorted(others) == sorted([threads[ANN], threads[odd]])
        assert len(await store.idle_threads(since=since, limit=9)) == 3


async def test_the_threads_of_a_team_are_found(store: ThreadStore) -> None:
    one, two, elsewhere = Owner("bot:acme", "one"), Owner("bot:acme", "two"), Owner("bot:other", "one")
    made = []
    for owner, team in ((one, "sales"), (one, "sales"), (two, "sales"), (two, "other"), (elsewhere, "sales"), (ANN, "sales")):
        thread = await store.create_thread(owner, title=None, metadata={"team_key": team})
        made.append(OwnedRef(owner, thread.id))
    await store.create_thread(one, title=None, metadata={})
    assert sorted(await store.threads_of_team("bot:acme", "sales")) == sorted(made[:3])
    assert await store.threads_of_team("bot:acme", "nobody's") == []
    await store.delete_thread(one, made[0].id)
    assert sorted(await store.threads_of_team("bot:acme", "sales")) == sorted(made[1:3])


async def test_a_thread_that_became_active_meanwhile_stays(store: ThreadStore) -> None:
    changed, answered, answering, crashed, crashed_lately = [await new_thread(store) for _ in range(5)]
    await begin(store, crashed.id)
    with time_machine.travel(utcnow() + timedelta(days=10), tick=True) as clock:
        since = utcnow() - timedelta(days=1)
        await store.update_thread(ANN, changed.id, {"title": "New"})
        await talk(store, answered.id)
        running = await begin(store, answering.id, lease=3600)
        await begin(store, crashed_lately.id)
        clock.shift(60)
        deleted = [await store.delete_thread(ANN, each.id, idle_since=since) for each in (changed, answered, answering)]
        assert deleted == [False, False, False]
        assert not await store.delete_thread(ANN, crashed_lately.id, idle_since=since)
        assert await store.delete_thread(ANN, crashed.id, idle_since=since)
        # Not even if everything but the turn is longer ago than that.
        assert not await store.delete_thread(ANN, answering.id, idle_since=utcnow() + timedelta(days=1))
        await end(store, running)
        assert len(await messages(store, answering.id)) == 2
        with pytest.raises(ThreadNotFound):
            await store.delete_thread(ANN, crashed.id, idle_since=since)
        with pytest.raises(ThreadNotFound):
            await store.delete_thread(BOB, answered.id, idle_since=utcnow())
