"""What every thread store promises: :class:`ThreadStore`, run against each of them."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import time_machine

from errors import InvalidCursor, LeaseLost, ThreadNotFound
from models import Metadata, Order, Owner, Thread, ThreadStatus, message_id, new_id, utcnow
from stores.contract import ThreadStore
from stores.cursors import encode_cursor
from stores.types import NewMessage, ThreadChanges
from tests.support.stores import ANN, BOB, LATER, Backend, ask, begin, end, messages, states, talk

STRANGERS = [BOB, Owner("other", "ann"), Owner("acmean", "n"), Owner("", "acmeann")]
ASKED, ANSWERED = (1, "user", "completed"), (2, "assistant", "completed")


async def all_threads(store: ThreadStore, *, limit: int, status: ThreadStatus | None = None) -> list[list[Thread]]:
    """Return the pages of the owner's threads."""
    pages, cursor = [], None
    while True:
        page = await store.list_threads(ANN, status=status, limit=limit, cursor=cursor)
        pages.append(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return pages


async def test_a_store_that_works_answers_a_ping_and_stores_nothing(store: ThreadStore, backend: Backend) -> None:
    await store.ping()
    await store.ping()
    assert "ping" not in await backend.everything()


# Threads


async def test_a_new_thread_is_there_and_listed(store: ThreadStore) -> None:
    metadata: Metadata = {"größe": [1, 2.5, None, {"日本": "👋"}], "ok": True}
    thread = await store.create_thread(ANN, title="Über 日本 👋", metadata=metadata)
    assert (thread.title, thread.metadata, thread.status) == ("Über 日本 👋", metadata, "active")
    assert (thread.message_count, thread.last_message_preview) == (0, None)
    assert thread.created_at == thread.updated_at
    assert await store.get_thread(ANN, thread.id) == thread
    assert (await store.list_threads(ANN, status=None, limit=10, cursor=None)).items == [thread]
    assert await messages(store, thread.id) == []


@pytest.mark.parametrize("id", ["thread_" + "0" * 32, "nonsense", "thread_1/x", "a" * 2000, "ä?#\\"])
async def test_a_thread_that_is_not_there(store: ThreadStore, id: str) -> None:
    with pytest.raises(ThreadNotFound):
        await store.get_thread(ANN, id)
    with pytest.raises(ThreadNotFound):
        await store.update_thread(ANN, id, {"title": "x"})
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(ANN, id)
    with pytest.raises(ThreadNotFound):
        await messages(store, id)
    with pytest.raises(ThreadNotFound):
        await begin(store, id)
    with pytest.raises(ThreadNotFound):
        await begin(store, id, ask(key="k"))


async def test_update_changes_what_is_named_and_nothing_else(store: ThreadStore) -> None:
    thread = await store.create_thread(ANN, title="Old", metadata={"a": 1})
    changes: list[ThreadChanges] = [{"title": None}, {"metadata": {"b": [2]}}, {"status": "archived"}, {}]
    for change in changes:
        changed = await store.update_thread(ANN, thread.id, change)
        assert changed.updated_at >= thread.updated_at
        thread = thread.model_copy(update={**change, "updated_at": changed.updated_at})
        assert changed == thread
        assert await store.get_thread(ANN, thread.id) == thread
        assert (await store.list_threads(ANN, status=None, limit=10, cursor=None)).items == [thread]
    assert (thread.title, thread.metadata, thread.status) == (None, {"b": [2]}, "archived")


async def test_update_while_a_turn_runs(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id)
    changed = await store.update_thread(ANN, thread.id, {"title": "New"})
    assert (changed.title, changed.message_count) == ("New", 1)
    await end(store, turn)
    after = await store.get_thread(ANN, thread.id)
    assert (after.title, after.message_count) == ("New", 2)
    assert after.updated_at >= changed.updated_at


async def test_threads_are_listed_by_their_latest_activity(backend: Backend) -> None:
    async with backend.new() as store:
        first, second, third = [await store.create_thread(ANN, title=str(n), metadata={}) for n in range(3)]
        await talk(store, first.id, "Latest of all?")
        await store.update_thread(ANN, second.id, {"title": "renamed"})
    async with backend.new() as store:
        page = await store.list_threads(ANN, status=None, limit=10, cursor=None)
    assert [thread.id for thread in page.items] == [second.id, first.id, third.id]
    assert [thread.message_count for thread in page.items] == [0, 2, 0]
    assert [thread.last_message_preview for thread in page.items] == [None, "4", None]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 6), (2, [2, 2, 2]), (4, [4, 2]), (6, [6]), (7, [6])])
async def test_pages_show_every_thread_once(store: ThreadStore, limit: int, sizes: list[int]) -> None:
    threads = [await store.create_thread(ANN, title=str(n), metadata={}) for n in range(6)]
    await store.create_thread(BOB, title="not Ann's", metadata={})
    pages = await all_threads(store, limit=limit)
    assert [len(page) for page in pages] == sizes
    assert [thread for page in pages for thread in page] == threads[::-1]


async def test_pages_of_one_status(store: ThreadStore) -> None:
    threads = [await store.create_thread(ANN, title=str(n), metadata={}) for n in range(6)]
    archived = [await store.update_thread(ANN, thread.id, {"status": "archived"}) for thread in threads[::2]]
    assert list(itertools.chain(*await all_threads(store, limit=2, status="archived"))) == archived[::-1]
    assert list(itertools.chain(*await all_threads(store, limit=2, status="active"))) == threads[1::2][::-1]


async def test_pages_while_threads_come_and_change(store: ThreadStore) -> None:
    threads = [await store.create_thread(ANN, title=str(n), metadata={}) for n in range(8)]
    first = await store.list_threads(ANN, status=None, limit=3, cursor=None)
    await store.create_thread(ANN, title="new", metadata={})
    await store.update_thread(ANN, threads[2].id, {"title": "unseen before, at the front now"})
    await store.update_thread(ANN, threads[7].id, {"title": "seen before, at the front now"})
    await store.delete_thread(ANN, threads[1].id)
    second = await store.list_threads(ANN, status=None, limit=3, cursor=first.next_cursor)
    assert second.next_cursor is None
    seen = [thread.title for page in (first, second) for thread in page.items]
    assert seen == ["7", "6", "5", "4", "3", "0"]


@pytest.mark.parametrize(
    "cursor", ["x", "!!!!", "ünicode", "a" * 5000, encode_cursor("2026-01-01"), encode_cursor("' OR 1=1 --"), "AAAA"]
)
async def test_a_cursor_that_was_not_given_out(store: ThreadStore, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await store.list_threads(ANN, status=None, limit=10, cursor=cursor)


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_thread_does_not_exist_for_others(store: ThreadStore, thread: Thread, stranger: Owner) -> None:
    await talk(store, thread.id, key="k")
    before = await store.get_thread(ANN, thread.id)
    with pytest.raises(ThreadNotFound):
        await store.get_thread(stranger, thread.id)
    with pytest.raises(ThreadNotFound):
        await store.update_thread(stranger, thread.id, {"title": "mine"})
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(stranger, thread.id)
    with pytest.raises(ThreadNotFound):
        await messages(store, thread.id, stranger)
    for new in (ask(), ask(key="k"), ask("another body", key="k"), ask(key="other")):
        with pytest.raises(ThreadNotFound):
            await begin(store, thread.id, new, owner=stranger)
    assert (await store.list_threads(stranger, status=None, limit=10, cursor=None)).items == []
    assert await store.get_thread(ANN, thread.id) == before
    assert await states(store, thread.id) == [ASKED, ANSWERED]


async def test_a_deleted_thread_is_gone(store: ThreadStore, thread: Thread) -> None:
    await talk(store, thread.id, key="k")
    kept = await store.create_thread(ANN, title="kept", metadata={})
    await store.delete_thread(ANN, thread.id)
    with pytest.raises(ThreadNotFound):
        await store.get_thread(ANN, thread.id)
    with pytest.raises(ThreadNotFound):
        await store.update_thread(ANN, thread.id, {"title": "back"})
    with pytest.raises(ThreadNotFound):
        await messages(store, thread.id)
    with pytest.raises(ThreadNotFound):
        await begin(store, thread.id, ask(key="k"))
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(ANN, thread.id)
    assert (await store.list_threads(ANN, status=None, limit=10, cursor=None)).items == [kept]


async def test_a_thread_deleted_during_its_turn_stays_deleted(store: ThreadStore, thread: Thread) -> None:
    turn = await begin(store, thread.id, ask(key="k"))
    await store.delete_thread(ANN, thread.id)
    with pytest.raises(LeaseLost):
        await store.renew_lease(turn, lease_seconds=30)
    with pytest.raises(LeaseLost):
        await end(store, turn)
    with pytest.raises(ThreadNotFound):
        await messages(store, thread.id)
    assert (await store.list_threads(ANN, status=None, limit=10, cursor=None)).items == []


async def test_many_deletions_of_one_thread_at_once(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    await backend.seed(thread.id, 300)
    outcomes = await asyncio.gather(*(store.delete_thread(ANN, thread.id) for _ in range(5)), return_exceptions=True)
    assert True in outcomes
    assert all(outcome is True or isinstance(outcome, ThreadNotFound) for outcome in outcomes), outcomes
    with pytest.raises(ThreadNotFound):
        await store.get_thread(ANN, thread.id)


async def test_a_long_thread(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    await backend.seed(thread.id, 5000)
    assert (await store.get_thread(ANN, thread.id)).message_count == 5000
    page = await store.list_messages(ANN, thread.id, limit=100, after=2500, before=None, order="asc")
    assert [message.seq for message in page.items] == list(range(2501, 2601))
    turn = await begin(store, thread.id)
    assert [message.seq for message in turn.history] == list(range(4961, 5001))
    await end(store, turn)
    assert (await store.get_thread(ANN, thread.id)).message_count == 5002

    await store.delete_thread(ANN, thread.id)
    with pytest.raises(ThreadNotFound):
        await messages(store, thread.id)
    with pytest.raises(ThreadNotFound):
        await store.delete_thread(ANN, thread.id)
    assert (await store.list_threads(ANN, status=None, limit=10, cursor=None)).items == []


# Messages


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_every_range_of_messages(store: ThreadStore, thread: Thread, order: Order) -> None:
    for _ in range(2):
        await talk(store, thread.id)
    await begin(store, thread.id)
    stored = await messages(store, thread.id)
    assert [message.seq for message in stored] == [1, 2, 3, 4, 5]
    bounds = [None, 1, 3, 5, 6, 999]
    for after, before, limit in itertools.product([*bounds, 0], bounds, [1, 2, 5, 6]):
        wanted = [each for each in stored if (after or 0) < each.seq < (before or 1000)]
        wanted = wanted if order == "asc" else wanted[::-1]
        page = await store.list_messages(ANN, thread.id, limit=limit, after=after, before=before, order=order)
        assert page.items == wanted[:limit], (after, before, limit)
        assert page.next_cursor == (wanted[limit - 1].id if len(wanted) > limit else None), (after, before, limit)


async def test_an_accepted_message_is_there_at_once(store: ThreadStore, thread: Thread) -> None:
    await talk(store, thread.id)
    turn = await begin(store, thread.id)
    listed = await messages(store, thread.id)
    assert listed[-1] == turn.message
    assert (listed[-1].status, listed[-1].turn_id, listed[-1].id) == ("running", turn.turn_id, message_id(thread.id, 3))
    assert (await store.get_thread(ANN, thread.id)).message_count == 3


async def test_an_accepted_message_survives_a_crash(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    async with backend.new() as crashed:
        turn = await begin(crashed, thread.id, ask("Important"))
        assert await messages(store, thread.id) == [turn.message]
        with time_machine.travel(utcnow() + LATER, tick=True):
            assert await states(store, thread.id) == [(1, "user", "interrupted")]
            assert (await store.get_thread(ANN, thread.id)).message_count == 1
            await talk(store, thread.id, "Next")
        kept, *rest = await messages(store, thread.id)
    assert kept == turn.message.model_copy(update={"status": "interrupted"})
    assert [message.seq for message in rest] == [2, 3]


async def test_big_and_foreign_content(store: ThreadStore, thread: Thread) -> None:
    content = "日本語 👩‍👩‍👧 \"quotes\" 'and' \\ \n\t\u2028" * 1000
    content = (content * 2)[:32_000]
    turn = await begin(store, thread.id, NewMessage(new_id("turn"), content, {"ключ": ["値", None]}, "ключ 🔑 " * 20))
    reply = await end(store, turn, content=content[::-1])
    asked, answered = await messages(store, thread.id)
    assert (asked.content, asked.metadata) == (content, {"ключ": ["値", None]})
    assert answered == reply
