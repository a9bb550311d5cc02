"""What a member of a group writes for the bot alone: only they read the answer, and nobody else's question tells of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models import Message, Owner, new_id
from settings import Settings
from stores.types import NewMessage
from teams.activity import parse_activity, to_incoming
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.instances import Instances, open_instances

BOB = {"id": "29:1bob", "name": "Bob", "aadObjectId": "00000000-bbbb-4000-8000-000000000002"}
TARGETED = {"recipient": {**activities.BOT, "isTargeted": True}}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, teams_local=True, approval_tools=("get_tide",))


@pytest.fixture
async def instances(settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Instances]:
    async with open_instances(settings, channel, monkeypatch) as instances:
        yield instances


async def say(instances: Instances, activity: dict[str, Any]) -> None:
    await instances.receive(activity)
    await instances.run()


def group_owner(settings: Settings, activity: dict[str, Any]) -> Owner:
    return to_incoming(parse_activity(activity), settings).owner


async def threads_of(instances: Instances, owner: Owner) -> dict[str, list[str]]:
    """Return what stands in each thread of an owner."""
    store, found = instances.all[0].store, {}
    state = await store.get_user_state(owner)
    kept: Any = state.values["bot"]
    for thread_id in kept["threads"].values():
        page = await store.list_messages(owner, thread_id, limit=100, after=None, before=None, order="asc")
        found[thread_id] = [message.content for message in page.items]
    return found


async def test_only_its_sender_reads_the_answer(instances: Instances, channel: FakeConnector, settings: Settings) -> None:
    public = activities.group_message(channel.url, "What is 1 + 1?")
    private = activities.group_message(channel.url, "What is 2 + 2?", mention=False, **TARGETED)
    for activity in (public, private, {**private, "id": "f:bob", "from": BOB}):
        await say(instances, activity)
    seen = [each for each in channel.sent if each.activity.get("text", "").startswith("2 + 2")]
    assert [each.activity["recipient"]["id"] for each in seen] == ["29:1ann", "29:1bob"]
    for each in channel.sent:
        is_private = each.activity.get("replyToId") in (private["id"], "f:bob")
        assert is_private == ("isTargetedActivity=true" in each.path)
    assert not [each for each in seen if each.method == "PUT"]
    threads = await threads_of(instances, group_owner(settings, public))
    assert sorted(len(messages) for messages in threads.values()) == [2, 2, 2]
    assert all(len({"1 + 1" in text for text in messages}) == 1 for messages in threads.values())


async def test_what_is_private_is_asked_and_decided_in_private(instances: Instances, channel: FakeConnector) -> None:
    question = activities.group_message(channel.url, "What is the tide in Oslo?", mention=False, **TARGETED)
    await say(instances, question)
    asked = channel.sent[-1]
    assert "isTargetedActivity=true" in asked.path
    allow, _ = asked.activity["attachments"][0]["content"]["actions"]
    place = {"conversation": question["conversation"], "replyToId": "a1"}
    # The button's message need not say that it is private: the card does.
    await say(instances, activities.message(channel.url, None, value=allow["data"], **place))
    assert "Oslo" in channel.texts[-1]
    assert {each.method for each in channel.sent} == {"POST"}
    assert all("isTargetedActivity=true" in each.path for each in channel.sent)


async def test_a_reply_from_elsewhere_does_not_make_it_public(
    instances: Instances, channel: FakeConnector, settings: Settings
) -> None:
    public = activities.group_message(channel.url, "What is 1 + 1?")
    private = activities.group_message(channel.url, "What is 2 + 2?", mention=False, **TARGETED)
    await say(instances, public)
    await say(instances, private)
    owner = group_owner(settings, public)
    threads = await threads_of(instances, owner)
    (thread_id,) = [thread_id for thread_id, messages in threads.items() if "2 + 2" in str(messages)]
    for text in (None, "/new"):
        if text:
            await say(instances, {**private, "id": "f:new", "text": text})
        log = await instances.all[0].turns.start(
            owner, thread_id, NewMessage(new_id("turn"), "What is 3 + 3?", {}), stream=False
        )
        reply = await log.wait()
        assert isinstance(reply, Message)
        assert not await instances.all[0].bot.deliver(owner, reply, "req_2")
    await instances.run()
    assert "3 + 3" not in str(channel.texts)


async def test_in_a_chat_of_two_nothing_is_more_private(instances: Instances, channel: FakeConnector) -> None:
    await say(instances, activities.message(channel.url, "What is 1 + 1?", **TARGETED))
    assert not [each for each in channel.sent if "isTargetedActivity" in each.path]
