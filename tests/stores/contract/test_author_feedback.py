"""What every thread store promises about ratings in conversations of several, where each member has one of their own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from errors import MessageNotFound, NotAnAnswer, ThreadNotFound
from models import Feedback, Thread, message_id, new_id
from stores.contract import ThreadStore
from stores.types import ErasedExchanges, OwnedRef
from tests.support.groups import GROUP, answered, say
from tests.support.stores import ANN, Backend, messages

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
UP = Feedback(rating="up", comment="Anns secret", timestamp=NOON)
DOWN = Feedback(rating="down", comment="Größe 日本 👋", timestamp=NOON)
# The channel's own id of somebody whom Entra ID does not know.
GUEST = "29:1-Gäst/?#'"


@pytest.fixture
async def thread(store: ThreadStore) -> Thread:
    return await store.create_thread(GROUP, title=None, metadata={})


async def given(store: ThreadStore, thread: Thread, author: str) -> list[tuple[str, Feedback]]:
    return [(each.message_id, each.feedback) for each in await store.list_author_feedback(GROUP, thread.id, author)]


async def test_each_author_has_feedback_of_their_own(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    first, second = await answered(store, thread.id), await answered(store, thread.id)
    for reply, author, feedback, is_first in (
        (second, "ann", UP, True),
        (first, "ann", UP, True),
        (first, GUEST, UP, True),
        (first, GUEST, DOWN, False),
        (first, GUEST, DOWN, False),
    ):
        assert await store.set_author_feedback(GROUP, thread.id, reply.id, author, feedback) is is_first
    async with backend.new() as other:
        assert await given(other, thread, "ann") == [(first.id, UP), (second.id, UP)]
        assert await given(other, thread, GUEST) == [(first.id, DOWN)]
        assert await given(other, thread, "bob") == []


async def test_nobody_else_is_shown_it_and_nothing_else_changes(store: ThreadStore, thread: Thread) -> None:
    reply = await answered(store, thread.id)
    before, shown = await store.get_thread(GROUP, thread.id), await messages(store, thread.id, GROUP)
    await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", UP)
    assert await store.get_thread(GROUP, thread.id) == before
    assert await messages(store, thread.id, GROUP) == shown
    assert len(await store.list_turns(GROUP, thread.id, limit=9, after=None)) == 1
    turn = await say(store, thread.id, "bob")
    assert list(turn.history) == shown


async def test_of_many_at_once_one_is_the_first(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    reply = await answered(store, thread.id)
    async with backend.new() as other:
        firsts = await asyncio.gather(
            *(each.set_author_feedback(GROUP, thread.id, reply.id, "ann", UP) for each in (store, other) * 4)
        )
    assert sum(firsts) == 1
    assert await given(store, thread, "ann") == [(reply.id, UP)]


async def test_what_takes_no_feedback(store: ThreadStore, thread: Thread) -> None:
    reply = await answered(store, thread.id)
    running = await say(store, thread.id, "bob")
    for id in (message_id(thread.id, 1), running.message.id):
        with pytest.raises(NotAnAnswer):
            await store.set_author_feedback(GROUP, thread.id, id, "ann", UP)
    for id in (message_id(thread.id, 9), message_id(new_id("thread"), 2), "nonsense", "ä/?#"):
        with pytest.raises(MessageNotFound):
            await store.set_author_feedback(GROUP, thread.id, id, "ann", UP)
    for owner, thread_id in ((ANN, thread.id), (GROUP, new_id("thread")), (GROUP, "nonsense")):
        with pytest.raises(ThreadNotFound):
            await store.set_author_feedback(owner, thread_id, reply.id, "ann", UP)
        with pytest.raises(ThreadNotFound):
            await store.list_author_feedback(owner, thread_id, "ann")
    assert await given(store, thread, "ann") == []


async def test_who_only_rated_is_an_author_and_can_have_it_erased(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    reply = await answered(store, thread.id)
    await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", UP)
    await store.set_author_feedback(GROUP, thread.id, reply.id, GUEST, DOWN)
    shown = await messages(store, thread.id, GROUP)
    assert await store.threads_of_author("ann") == [OwnedRef(GROUP, thread.id)]
    assert await store.erase_exchanges(GROUP, thread.id, "ann") == ErasedExchanges(0, unfinished=False)
    assert "Anns secret" not in await backend.everything()
    assert await store.threads_of_author("ann") == []
    assert await given(store, thread, GUEST) == [(reply.id, DOWN)]
    assert await messages(store, thread.id, GROUP) == shown
    assert await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", UP)


async def test_feedback_goes_with_the_answer_that_is_erased(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    to_bob, to_carl = await answered(store, thread.id), await answered(store, thread.id, "carl")
    for reply, feedback in ((to_bob, UP), (to_carl, DOWN)):
        await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", feedback)
    assert await store.erase_exchanges(GROUP, thread.id, "bob") == ErasedExchanges(2, unfinished=False)
    assert "Anns secret" not in await backend.everything()
    assert await given(store, thread, "ann") == [(to_carl.id, DOWN)]
    with pytest.raises(NotAnAnswer):
        await store.set_author_feedback(GROUP, thread.id, to_bob.id, "ann", UP)


async def test_feedback_goes_with_its_thread(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    reply = await answered(store, thread.id)
    await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", UP)
    await store.delete_thread(GROUP, thread.id)
    assert await store.threads_of_author("ann") == []
    with pytest.raises(ThreadNotFound):
        await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", UP)
    async with backend.new() as other:
        with pytest.raises(ThreadNotFound):
            await other.list_author_feedback(GROUP, thread.id, "ann")


async def test_feedback_goes_with_the_erasure_of_its_conversation(backend: Backend, store: ThreadStore, thread: Thread) -> None:
    reply = await answered(store, thread.id)
    await store.set_author_feedback(GROUP, thread.id, reply.id, "ann", UP)
    erasure = await store.begin_erasure(GROUP)
    while await store.erase_threads(GROUP, erasure.id, limit=3):
        pass
    assert await store.complete_erasure(GROUP, erasure.id)
    assert "Anns secret" not in await backend.everything()
