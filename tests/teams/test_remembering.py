"""What is remembered about conversations, on both stores and under races."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_core import to_json

from models import Owner, message_id, new_id
from settings import Settings
from stores.contract import ThreadStore
from teams.activity import Incoming, parse_activity, to_incoming
from teams.clock import Clock
from teams.conversation_state import (
    MAX_ACTIVITIES,
    MAX_CONVERSATIONS,
    MAX_SHOWN,
    MAX_TICKETS,
    ActivityRecord,
    ConversationState,
    ConversationStates,
)
from teams.conversations import Conversations
from teams.order import ConversationOrder
from tests.fakes import activities

SETTINGS = Settings(bot_app_id=activities.APP_ID, bot_tenant_id=activities.TENANT)
OWNER = Owner(activities.TENANT, activities.USER)
SERVICE = "https://smba.trafficmanager.net/emea/"


def incoming(**changes: Any) -> Incoming:
    return to_incoming(parse_activity(activities.message(SERVICE, **changes)), SETTINGS)


async def thread_ids(store: ThreadStore) -> list[str]:
    return await store.list_thread_ids(OWNER, limit=100, after=None)


async def test_many_at_once_begin_one_thread(store: ThreadStore) -> None:
    conversations = Conversations(store)
    claims = await asyncio.gather(*(conversations.claim(incoming()) for _ in range(4)))
    assert {claim.is_done for claim in claims} == {False}
    assert await thread_ids(store) == [claims[0].thread_id]
    assert {claim.thread_id for claim in claims} == {claims[0].thread_id}


async def test_an_activity_keeps_its_thread_and_is_done_once(store: ThreadStore) -> None:
    conversations = Conversations(store)
    first, command, second = incoming(), incoming(), incoming()
    claim = await conversations.claim(first)
    for _ in range(2):
        await conversations.reset(command)
    assert (await conversations.claim(second)).thread_id != claim.thread_id
    assert await conversations.claim(first) == claim._replace(is_known=True)
    await conversations.mark_done(first, "msg_x", "sent-1")
    assert (await conversations.claim(first)).is_done
    assert await conversations.is_done(first)
    assert not await conversations.is_done(second)
    assert len(await thread_ids(store)) == 2


async def test_each_conversation_of_a_user_has_its_thread(store: ThreadStore) -> None:
    conversations = Conversations(store)
    other = incoming(conversation={"id": "a:2", "conversationType": "personal", "tenantId": activities.TENANT})
    assert other.owner == incoming().owner == OWNER
    threads = [(await conversations.claim(each)).thread_id for each in (incoming(), other, incoming())]
    assert threads[0] == threads[2] != threads[1]


async def test_feedback_finds_its_answer(store: ThreadStore) -> None:
    conversations = Conversations(store)
    for number in (1, 2):
        answered = incoming()
        await conversations.claim(answered)
        await conversations.mark_done(answered, f"msg_{number}", f"sent-{number}")
    for reply_to, expected in (("sent-1", "msg_1"), ("sent-2", "msg_2"), (None, "msg_2"), ("other", None)):
        found = await conversations.find_rated_answer(incoming(replyToId=reply_to))
        assert (found.message_id if found else None) == expected


async def test_what_is_remembered_has_an_end(store: ThreadStore) -> None:
    conversations = Conversations(store)
    for number in range(MAX_ACTIVITIES + 3):
        await conversations.mark_done(incoming(), None, f"sent-{number}")
    state = await store.get_user_state(OWNER)
    remembered: Any = state.values["bot"]
    assert len(remembered["activities"]) == MAX_ACTIVITIES
    assert remembered["activities"][-1]["sent_id"] == f"sent-{MAX_ACTIVITIES + 2}"
    most = MAX_CONVERSATIONS * 110 + MAX_ACTIVITIES * 250 + MAX_TICKETS * 240 + MAX_SHOWN * 16
    assert most < 32_000


def test_answers_before_the_latest_are_found_up_to_an_end() -> None:
    kept = ConversationState()
    shown: list[tuple[str, str]] = []
    for _ in range(3):
        thread_id = new_id("thread")
        for seq in range(2, 130):
            id, sent_id, key = message_id(thread_id, seq), new_id("turn"), new_id("turn")
            kept.remember(ActivityRecord(key=key, thread_id=thread_id))
            kept.remember(ActivityRecord(key=key, thread_id=thread_id, done=True, message_id=id, sent_id=sent_id))
            shown.append((sent_id, id))
    kept = ConversationState.model_validate_json(kept.model_dump_json())
    found = [sent_id for sent_id, id in shown if (answer := kept.find_shown(sent_id)) and answer.message_id == id]
    assert found == [sent_id for sent_id, _ in shown[-MAX_SHOWN - MAX_ACTIVITIES :]]
    assert len(to_json(kept.shown)) < MAX_SHOWN * 16
    assert kept.find_shown("other") is None


async def test_what_a_later_release_keeps_is_left_there(store: ThreadStore) -> None:
    state = await store.get_user_state(OWNER)
    await store.put_user_state(OWNER, state.model_copy(update={"values": {"bot": {"moods": ["glad"]}}}))
    await Conversations(store).mark_done(incoming(), None, "sent")
    kept: Any = (await store.get_user_state(OWNER)).values["bot"]
    assert (kept["moods"], len(kept["activities"])) == (["glad"], 1)


async def test_what_is_undone_is_not_forgotten_and_what_is_done_is_not_done_again(store: ThreadStore) -> None:
    """Else another attempt would ask again, in the thread that is in use by then."""
    conversations = Conversations(store)
    undone, done = incoming(), incoming()
    claim = await conversations.claim(undone)
    await conversations.claim(done)
    await conversations.mark_done(done, "msg_x", "sent-1")
    for _ in range(MAX_ACTIVITIES + 5):
        other = incoming()
        await conversations.claim(other)
        await conversations.mark_done(other, None, "sent")
    await conversations.reset(incoming())
    assert await conversations.claim(undone) == claim._replace(is_known=True)
    assert await conversations.is_done(done)


@pytest.mark.parametrize(
    "broken",
    [{"tickets": {}}, {"threads": []}, {"activities": [{"done": True}]}, "words", ["words"]],
    ids=["tickets", "threads", "activities", "words", "a list"],
)
async def test_a_state_of_another_form_does_not_stop_a_chat(store: ThreadStore, broken: Any) -> None:
    state = await store.get_user_state(OWNER)
    kept = {"references": {"c": {"x": 1}}, **broken} if isinstance(broken, dict) else broken
    await store.put_user_state(OWNER, state.model_copy(update={"values": {"bot": kept}}))
    conversations = Conversations(store)
    claim = await conversations.claim(incoming())
    assert await thread_ids(store) == [claim.thread_id]
    if isinstance(broken, dict):
        assert (await conversations.states.get(OWNER))[0].references["c"] == {"x": 1}


async def test_records_of_a_newer_release_keep_what_is_new_in_them(store: ThreadStore) -> None:
    state = await store.get_user_state(OWNER)
    known = {"activities": [{"key": "k", "added": 1}], "tickets": [{"key": "k", "conversation": "c", "added": 2}]}
    await store.put_user_state(OWNER, state.model_copy(update={"values": {"bot": known}}))
    await Conversations(store).claim(incoming())
    kept = (await store.get_user_state(OWNER)).values["bot"]
    assert "'added': 1" in str(kept)
    assert "'added': 2" in str(kept)


async def test_who_is_woken_early_knows_how_long_that_took(store: ThreadStore) -> None:
    """Else many who leave would make somebody who works look dead."""
    order = ConversationOrder(ConversationStates(store), Clock())
    waiting = asyncio.create_task(order.wait(600))
    await asyncio.sleep(0)
    await order.leave(incoming(), done=True)
    assert await waiting < 600
