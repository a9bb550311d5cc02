"""Replies that no activity asked for: they come to the conversation that has their thread."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from identity.authenticator import LOCAL_OWNER
from models import Message, Owner, new_id
from settings import Settings
from stores.types import NewMessage
from tests.fakes import activities
from tests.fakes.connector import BROKEN, FakeConnector
from tests.support.instances import Instances, open_instances


@pytest.fixture
async def instances(settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Instances]:
    async with open_instances(settings, channel, monkeypatch) as instances:
        yield instances


async def turn_elsewhere(instances: Instances, owner: Owner, thread_id: str, text: str) -> Message:
    """Have a turn in a thread as another caller does, such as the chat page."""
    new = NewMessage(new_id("turn"), text, {})
    log = await instances.all[0].turns.start(owner, thread_id, new, stream=False)
    message = await log.wait()
    assert isinstance(message, Message)
    return message


async def thread_of(instances: Instances, owner: Owner) -> str:
    state = await instances.all[0].store.get_user_state(owner)
    assert state.thread_id
    return state.thread_id


async def test_a_reply_of_a_turn_elsewhere_comes_once_and_can_be_rated(instances: Instances, channel: FakeConnector) -> None:
    await instances.receive(activities.message(channel.url, "What is 2 + 2?"))
    await instances.run()
    thread_id = await thread_of(instances, LOCAL_OWNER)
    message = await turn_elsewhere(instances, LOCAL_OWNER, thread_id, "What is a 15% tip on $85?")
    channel.break_for(100, BROKEN)
    for instance in (*instances.all, *instances.all):
        assert await instance.bot.deliver(LOCAL_OWNER, message, "req_2")
    await instances.run()
    assert ["12.75" in text for text in channel.texts] == [False, True]
    assert channel.sent[-1].path.endswith("/activities")
    thumb = {"actionName": "feedback", "actionValue": {"reaction": "like", "feedback": "{}"}}
    shown = next(reversed(channel.shown))
    rated = activities.message(channel.url, None, type="invoke", name="message/submitAction", value=thumb, replyToId=shown)
    answer = await instances.all[1].bot.receive(rated, None, "req_3")
    assert answer.status == 200
    stored = await instances.all[0].store.list_messages(LOCAL_OWNER, thread_id, limit=9, after=None, before=None, order="asc")
    assert [each.feedback.rating if each.feedback else None for each in stored.items] == [None, None, None, "up"]


async def test_a_reply_in_a_thread_before_the_one_in_use_comes_too(instances: Instances, channel: FakeConnector) -> None:
    await instances.receive(activities.message(channel.url, "What is 2 + 2?"))
    await instances.run()
    thread_id = await thread_of(instances, LOCAL_OWNER)
    await instances.receive(activities.message(channel.url, "/new"))
    await instances.run()
    message = await turn_elsewhere(instances, LOCAL_OWNER, thread_id, "What is 3 + 3?")
    assert await instances.all[0].bot.deliver(LOCAL_OWNER, message, "req_2")
    await instances.run()
    assert "= 6" in channel.texts[-1]


async def test_a_group_gets_its_replies_and_nobody_elses(instances: Instances, channel: FakeConnector) -> None:
    await instances.receive(activities.group_message(channel.url, "What is 2 + 2?"))
    await instances.run()
    (thread,) = await instances.all[0].store.threads_of_author(activities.USER)
    state = await instances.all[0].store.get_user_state(thread.owner)
    assert "29:1ann" not in state.model_dump_json()
    message = await turn_elsewhere(instances, thread.owner, thread.id, "What is 3 + 3?")
    assert not await instances.all[0].bot.deliver(LOCAL_OWNER, message, "req_2")
    assert await instances.all[0].bot.deliver(thread.owner, message, "req_2")
    await instances.run()
    assert "= 6" in channel.texts[-1]
    assert channel.sent[-1].activity["conversation"]["id"] == "19:group@thread.v2"


async def test_a_thread_without_a_conversation_has_nobody_to_tell(instances: Instances, channel: FakeConnector) -> None:
    thread = await instances.all[0].store.create_thread(LOCAL_OWNER, title=None, metadata={})
    message = await turn_elsewhere(instances, LOCAL_OWNER, thread.id, "What is 3 + 3?")
    assert not await instances.all[0].bot.deliver(LOCAL_OWNER, message, "req_2")
    assert instances.queue.messages == []


async def test_no_channel_can_ask_for_a_reply(instances: Instances, channel: FakeConnector) -> None:
    await instances.receive(activities.message(channel.url, "What is 2 + 2?"))
    await instances.run()
    sent = len(channel.sent)
    stored = f"msg_{(await thread_of(instances, LOCAL_OWNER)).removeprefix('thread_')}_2"
    for changes in ({}, {"deliveryMode": "expectReplies"}):
        asks = activities.message(channel.url, None, type="event", name="agent/reply", value={"message_id": stored}, **changes)
        answer = await instances.all[0].bot.receive(asks, None, "req_2")
        assert (answer.status, answer.body) == (202, None)
    await instances.run()
    assert len(channel.sent) == sent
