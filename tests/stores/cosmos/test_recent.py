"""Recent messages that a process remembers: when they spare it the history, and when they must not be believed."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from cosmos_store import CosmosStore
from models import Feedback, Message, Owner, Thread, utcnow
from stores.cosmos.documents import ThreadDocument, new_thread_document
from stores.cosmos.recent import RecentMessages, size_of
from stores.types import StartedTurn
from tests.fakes.cosmos import FakeCosmos
from tests.support.stores import ANN, CosmosBackend, ask, begin, end, messages, some_messages, talk

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account shows no log of its requests")
CONVERSATION = Owner("bot:acme", "group")
MEGABYTE = 1_000_000


@pytest.fixture
def backend(backend: CosmosBackend) -> CosmosBackend:
    backend.cache_bytes = MEGABYTE
    return backend


@pytest.fixture
async def thread(store: CosmosStore) -> Thread:
    """A thread with two messages, which the process knows."""
    thread = await store.create_thread(ANN, title=None, metadata={})
    await talk(store, thread.id, "First")
    return thread


async def begun(store: CosmosStore, fake: FakeCosmos, thread: Thread, owner: Owner = ANN) -> tuple[StartedTurn, list[str]]:
    """Begin a turn whose history must be what is stored; return it, and the requests that it took."""
    stored = await messages(store, thread.id, owner)
    start = len(fake.log)
    turn = await begin(store, thread.id, owner=owner)
    requests = [str(each.kind) for each in fake.requests(start) if each.container == "messages"]
    assert without_feedback(turn.history) == without_feedback(stored)
    return turn, requests


def without_feedback(messages: Sequence[Message]) -> list[Message]:
    return [each.model_copy(update={"feedback": None}) for each in messages]


@pytest.mark.parametrize("length", [2, 2000])
async def test_a_warm_turn_is_two_requests_and_a_row_and_costs_the_same_in_any_thread(
    backend: CosmosBackend, fake: FakeCosmos, length: int
) -> None:
    async with backend.new() as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        await backend.seed(thread.id, length)
        await talk(store, thread.id)
        start = len(fake.log)
        for _ in range(20):
            await talk(store, thread.id)
    requests = fake.requests(start)
    assert [each.kind for each in requests if each.container == "messages"] == ["patch", "batch"] * 20
    assert sum(each.charge for each in requests) / 20 < 41


async def test_the_next_turn_knows_what_was_said(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    for _ in range(3):
        turn, requests = await begun(store, fake, thread)
        assert requests == ["patch"]
        await end(store, turn)


async def test_a_turn_that_failed_is_known(store: CosmosStore, fake: FakeCosmos, thread: Thread) -> None:
    await end(store, await begin(store, thread.id), "failed", content=None)
    _, requests = await begun(store, fake, thread)
    assert requests == ["patch"]


async def test_what_another_process_has_added_is_read(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    await talk(other, thread.id, "Second")
    turn, requests = await begun(store, fake, thread)
    assert requests == ["patch", "query"]
    await end(store, turn)
    assert (await begun(store, fake, thread))[1] == ["patch"]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_what_a_retry_has_changed_is_read(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread, where: str
) -> None:
    await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
    await talk(store, thread.id, "Later")
    retry = await begin(store if where == "here" else other, thread.id, ask(key="k"))
    assert retry.is_retry
    assert 3 not in [each.seq for each in retry.history]
    await end(store if where == "here" else other, retry)
    await begun(store, fake, thread)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_feedback_changes_no_history(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread, where: str
) -> None:
    answer = (await messages(store, thread.id))[-1]
    feedback = Feedback(rating="up", timestamp=utcnow())
    await (store if where == "here" else other).set_feedback(ANN, thread.id, answer.id, feedback)
    await begun(store, fake, thread)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("shown", [True, False])
async def test_what_was_erased_is_not_remembered(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, where: str, shown: bool
) -> None:
    thread = await store.create_thread(CONVERSATION, title=None, metadata={})
    for author in ("bob", "ann") if not shown else ("ann", "bob"):
        new = ask("Mine")
        new.metadata["author_id"] = author
        await end(store, await begin(store, thread.id, new, owner=CONVERSATION))
    await (store if where == "here" else other).erase_exchanges(CONVERSATION, thread.id, "bob")
    turn, requests = await begun(store, fake, thread, CONVERSATION)
    assert requests == ["patch", "query"]
    assert len([each for each in turn.history if each.is_erased]) == 2


async def test_messages_that_may_be_erased_are_not_read_before_the_lease_is_taken(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos
) -> None:
    """What was erased between the two would be remembered for good."""
    thread = await store.create_thread(CONVERSATION, title=None, metadata={})
    await talk(store, thread.id, owner=CONVERSATION)
    start = len(fake.log)
    await begin(other, thread.id, owner=CONVERSATION)
    patch, query = [each for each in fake.requests(start) if each.container == "messages"]
    assert (patch.kind, query.kind) == ("patch", "query")
    assert patch.ended < query.started


async def test_a_thread_made_anew_under_its_id_begins_empty(store: CosmosStore, other: CosmosStore, fake: FakeCosmos) -> None:
    thread = await store.open_session_thread(ANN, "s")
    await talk(store, thread.id, "Old")
    await other.delete_thread(ANN, thread.id)
    await other.open_session_thread(ANN, "s")
    await talk(other, thread.id, "New")
    turn, _ = await begun(store, fake, thread)
    assert [each.content for each in turn.history] == ["New", "4"]


async def test_a_commit_that_is_refused_adds_nothing(
    store: CosmosStore, other: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    turn = await begin(store, thread.id)
    fake.fail("batch", drop="after")
    await end(store, turn)
    await begun(store, fake, thread)


def document(thread_id: str, count: int) -> ThreadDocument:
    thread = Thread(
        id=thread_id,
        title=None,
        status="active",
        metadata={},
        created_at=utcnow(),
        updated_at=utcnow(),
        message_count=0,
        last_message_preview=None,
    )
    return ThreadDocument.model_validate(new_thread_document(ANN, thread)).model_copy(update={"last_seq": count, "rev": 5})


def kept(recent: RecentMessages, thread_id: str, count: int = 40, *, text: str = "x") -> ThreadDocument:
    """Remember a thread's messages; return it as its next lease will leave it."""
    thread = document(thread_id, count)
    latest: list[Message] = [each.model_copy(update={"content": text}) for each in some_messages("thread_" + "0" * 32, count)]
    recent.keep(thread, latest[::-1], 41, read_after=True)
    return thread.model_copy(update={"rev": 6})


def test_memory_is_bounded_and_the_threads_used_last_stay() -> None:
    recent = RecentMessages(MEGABYTE)
    threads = [kept(recent, f"thread_{number:032x}", text="天" * 5000) for number in range(10)]
    assert [recent.take(each, 41) is not None for each in threads] == [False] * 8 + [True] * 2
    assert recent.take(kept(recent, "thread_huge", text="天" * 50_000), 41) is None


def test_a_thread_that_two_turns_have_read_takes_its_memory_once() -> None:
    """The lease of the first may have expired while it was reading."""
    recent = RecentMessages(MEGABYTE)
    other = kept(recent, "thread_other")
    for _ in range(50):
        kept(recent, "thread_1", text="天" * 3000)
    assert recent.take(other, 41)


def test_what_leaves_a_window_gives_its_memory_back() -> None:
    recent = RecentMessages(MEGABYTE)
    thread = kept(recent, "thread_1", text="天" * 3000)
    for turn in range(200):
        assert recent.take(thread, 41)
        seq = thread.last_seq + 1
        new = some_messages("thread_" + "0" * 32, seq)[-1]
        thread = thread.model_copy(update={"rev": thread.rev + 1, "last_seq": seq})
        window = recent.extend(thread, [new])
        assert window
        assert window.size == size_of(window.messages)
        assert len(window.messages) == 41
        thread = thread.model_copy(update={"rev": thread.rev + 1})
        assert turn < 40 or window.size < 41 * 3000


def test_nothing_is_remembered_for_long() -> None:
    time = [0.0]
    recent = RecentMessages(MEGABYTE, max_seconds=600, now=lambda: time[0])
    thread = kept(recent, "thread_1")
    time[0] = 599
    assert recent.take(thread, 41)
    time[0] = 601
    assert recent.take(thread.model_copy(update={"rev": 7}), 41) is None


def test_what_is_too_old_to_be_believed_does_not_stay_in_memory() -> None:
    """Another instance may have deleted or erased it."""
    time = [0.0]
    recent = RecentMessages(MEGABYTE, max_seconds=600, now=lambda: time[0])
    for number in range(3):
        kept(recent, f"thread_{number}")
    time[0] = 599
    late = kept(recent, "thread_late")
    time[0] = 601
    kept(recent, "thread_now")
    assert [recent.forget(f"thread_{number}") for number in range(3)] == [None] * 3
    assert recent.take(late, 41)
    time[0] = 2000
    grown = late.model_copy(update={"rev": late.rev + 1, "last_seq": 41})
    assert recent.extend(grown, some_messages("thread_" + "0" * 32, 41)[-1:])
    assert (recent.forget("thread_late"), recent.forget("thread_now")) == (None, None)


def test_another_owner_a_newer_thread_or_more_than_is_known_is_not_answered() -> None:
    for change in ({"owner_hash": "other"}, {"created_at": utcnow()}, {"last_seq": 41}, {"rev": 7}, {"rev": 5}):
        recent = RecentMessages(MEGABYTE)
        assert recent.take(kept(recent, "thread_1").model_copy(update=change), 41) is None
    recent = RecentMessages(MEGABYTE)
    assert recent.take(kept(recent, "thread_1"), 42) is None


def test_none_are_kept_without_memory() -> None:
    recent = RecentMessages(0)
    assert recent.take(kept(recent, "thread_1"), 41) is None
