"""What every thread store promises about what one person wrote in conversations of several (audit M13)."""

from __future__ import annotations

import pytest

from errors import ThreadNotFound
from events import MessageDelta, ReasoningDelta
from stores.contract import ThreadStore
from stores.types import ErasedExchanges, EventBatch, OwnedRef, TurnEnd
from tests.support.groups import GROUP, say
from tests.support.pauses import KEPT, approve, finish, go_on, open_call, pause_again
from tests.support.stores import ANN, Backend, answer, end, messages


async def test_m13_what_an_author_wrote_is_found_and_erased_in_place(backend: Backend, store: ThreadStore) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    await end(store, await say(store, thread.id, "bob", "Bobs text"), content="to Bob")
    turn = await say(store, thread.id, "ann", "Anns secret")
    events = [MessageDelta(id=1, turn_id=turn.turn_id, text="a secret reply")]
    assert await store.save_events([EventBatch(thread.id, turn.turn_id, events, 3600)]) == [None]
    await end(store, turn, content="a secret reply")
    assert await store.threads_of_author("ann") == [OwnedRef(GROUP, thread.id)]
    assert await store.erase_exchanges(GROUP, thread.id, "ann") == ErasedExchanges(2, unfinished=False)
    found = await messages(store, thread.id, GROUP)
    assert [(each.seq, each.content) for each in found] == [(1, "Bobs text"), (2, "to Bob"), (3, ""), (4, "")]
    assert [each.is_erased for each in found] == [False, False, True, True]
    assert (await store.get_thread(GROUP, thread.id)).last_message_preview == ""
    assert (await store.list_threads(GROUP, status=None, limit=9, cursor=None)).items[0].last_message_preview == ""
    assert "secret" not in await backend.everything()
    assert await store.threads_of_author("ann") == []
    with pytest.raises(ThreadNotFound):
        await store.erase_exchanges(ANN, thread.id, "ann")


async def test_reasoning_is_erased_with_its_answer(backend: Backend, store: ThreadStore) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    turn = await say(store, thread.id, "ann", "Hi")
    events = [ReasoningDelta(id=1, turn_id=turn.turn_id, text="a secret thought")]
    assert await store.save_events([EventBatch(thread.id, turn.turn_id, events, 3600)]) == [None]
    reply = answer(turn).model_copy(update={"reasoning": "a secret thought"})
    await store.commit_turn(turn, TurnEnd(message=turn.message, reply=reply, final_event_id=2))
    assert "secret" in await backend.everything()
    assert await store.erase_exchanges(GROUP, thread.id, "ann") == ErasedExchanges(2, unfinished=False)
    assert [each.reasoning for each in await messages(store, thread.id, GROUP)] == [None, None]
    assert "secret" not in await backend.everything()


async def test_m13_a_running_turns_message_is_not_forgotten(store: ThreadStore) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    turn = await say(store, thread.id, "ann", "Anns secret")
    assert await store.threads_of_author("ann") == [OwnedRef(GROUP, thread.id)]
    assert await store.erase_exchanges(GROUP, thread.id, "ann") == ErasedExchanges(0, unfinished=True)
    await end(store, turn)
    assert await store.erase_exchanges(GROUP, thread.id, "ann") == ErasedExchanges(2, unfinished=False)


async def test_m13_metadata_of_the_apis_callers_names_no_author(store: ThreadStore) -> None:
    thread = await store.create_thread(ANN, title=None, metadata={"author_id": "bob"})
    await end(store, await say(store, thread.id, "bob", "mine", owner=ANN))
    assert await store.threads_of_author("bob") == []


async def test_paused_replies_are_erased_with_what_goes_on_with_them(backend: Backend, store: ThreadStore) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    secret = open_call().model_copy(update={"arguments": {"order": "a secret"}})
    first = await pause_again(store, await say(store, thread.id, "ann", "Anns secret"), secret)
    await finish(store, await go_on(store, thread.id, approve(first), owner=GROUP))
    await end(store, await say(store, thread.id, "bob", "Bobs text"), content="to Bob")
    await pause_again(store, await say(store, thread.id, "ann", "another secret"), secret)
    assert await store.erase_exchanges(GROUP, thread.id, "ann") == ErasedExchanges(5, unfinished=False)
    found = await messages(store, thread.id, GROUP)
    assert [each.is_erased for each in found] == [True, True, True, False, False, True, True]
    assert (await store.get_thread(GROUP, thread.id)).open_turn_id is None
    assert "secret" not in await backend.everything()


async def test_what_paused_turns_keep_for_the_model_is_erased_too(backend: Backend, store: ThreadStore) -> None:
    thread = await store.create_thread(GROUP, title=None, metadata={})
    first = await pause_again(store, await say(store, thread.id, "ann", "Anns secret"))
    second = await pause_again(store, await go_on(store, thread.id, approve(first), owner=GROUP))
    await finish(store, await go_on(store, thread.id, approve(second), owner=GROUP))
    assert "Mine." in str(KEPT.tools)
    assert "Mine." in await backend.everything()
    await store.erase_exchanges(GROUP, thread.id, "ann")
    assert "Mine." not in await backend.everything()
