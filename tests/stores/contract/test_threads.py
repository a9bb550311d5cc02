"""What every thread store promises: :class:`ThreadStore`, run against each of them."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest
import time_machine

from errors import IdempotencyKeyReused, InvalidCursor, LeaseLost, ThreadNotFound, TurnInProgress
from models import Message, Metadata, Order, Owner, Problem, Thread, ThreadStatus, message_id, new_id, utcnow
from stores.contract import ThreadStore
from stores.cursors import encode_cursor
from stores.types import NewMessage, ReplayedTurn, StartedTurn, ThreadChanges
from tests.support.stores import ANN, Backend, answer, ask, begin, end, messages, states, talk

BOB = Owner("acme", "bob")
STRANGERS = [BOB, Owner("other", "ann"), Owner("acmean", "n"), Owner("", "acmeann")]
ASKED, ANSWERED = (1, "user", "completed"), (2, "assistant", "completed")


@pytest.fixture
async def thread(store: ThreadStore) -> Thread:
    return await store.create_thread(ANN, title="Sums", metadata={})


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
        with time_machine.travel(utcnow() + timedelta(seconds=31), tick=True):
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


# Turns


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
    await store.commit_turn(turn, message=failed, reply=None, final_event_id=9)
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
    with time_machine.travel(utcnow() + timedelta(seconds=31), tick=True):
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
    with time_machine.travel(utcnow() + timedelta(seconds=31), tick=True):
        await end(store, turn)
        assert await states(store, thread.id) == [ASKED, ANSWERED]


async def test_after_a_takeover_the_old_turn_stores_nothing(store: ThreadStore, thread: Thread) -> None:
    old = await begin(store, thread.id, ask("old", key="k"))
    with time_machine.travel(utcnow() + timedelta(seconds=31), tick=True):
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
        await store.commit_turn(turn, message=message, reply=reply, final_event_id=9)
    assert await messages(store, thread.id) == [message, reply]
    await talk(store, thread.id)
    await store.commit_turn(turn, message=message, reply=reply, final_event_id=9)
    assert len(await messages(store, thread.id)) == 4


# Idempotency keys


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
    with time_machine.travel(utcnow() + timedelta(seconds=31), tick=True) as clock:
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
    with time_machine.travel(utcnow() + timedelta(seconds=31), tick=True):
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
