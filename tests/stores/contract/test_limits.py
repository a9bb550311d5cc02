"""What an owner and a thread may hold at most (audit L10)."""

from __future__ import annotations

import pytest

from errors import RateLimited, ThreadFull, TurnInProgress
from stores.limits import StoreLimits
from stores.types import ReplayedTurn
from tests.support.stores import ANN, BOB, Backend, ask, begin, end, messages, talk


async def test_an_owner_has_no_more_threads_than_the_limit(backend: Backend) -> None:
    async with backend.new(StoreLimits(threads=2)) as store:
        first = await store.create_thread(ANN, title=None, metadata={})
        named = await store.open_session_thread(ANN, "mine")
        with pytest.raises(RateLimited):
            await store.create_thread(ANN, title=None, metadata={})
        with pytest.raises(RateLimited):
            await store.open_session_thread(ANN, "another")
        assert await store.open_session_thread(ANN, "mine") == named
        assert len(await store.list_thread_ids(ANN, limit=9, after=None)) == 2
        await store.create_thread(BOB, title=None, metadata={})
        await store.delete_thread(ANN, first.id)
        await store.create_thread(ANN, title=None, metadata={})


@pytest.mark.parametrize("key", [None, "another"])
async def test_a_thread_takes_no_more_messages_than_the_limit(backend: Backend, key: str | None) -> None:
    async with backend.new(StoreLimits(messages=4)) as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        await talk(store, thread.id)
        turn = await begin(store, thread.id, ask("More", key="k"))
        with pytest.raises(TurnInProgress):
            await begin(store, thread.id, ask(key=key))
        reply = await end(store, turn)
        with pytest.raises(ThreadFull):
            await begin(store, thread.id, ask(key=key))
        assert len(await messages(store, thread.id)) == 4
        again = await store.begin_turn(ANN, thread.id, ask("More", key="k"), lease_seconds=30, history_limit=40)
        assert isinstance(again, ReplayedTurn)
        assert again.message == reply


async def test_the_last_message_of_a_full_thread_can_be_answered_again(backend: Backend) -> None:
    async with backend.new(StoreLimits(messages=1)) as store:
        thread = await store.create_thread(ANN, title=None, metadata={})
        await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
        with pytest.raises(ThreadFull):
            await begin(store, thread.id, ask("Another"))
        await end(store, await begin(store, thread.id, ask(key="k")))
        assert len(await messages(store, thread.id)) == 2
