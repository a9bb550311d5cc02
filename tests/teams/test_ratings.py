"""Thumbs on answers of long ago, and in groups, where each member has an opinion of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from models import Owner
from settings import Settings
from stores.sqlite.store import SqliteStore
from teams.activity import parse_activity, to_incoming
from teams.conversation_state import MAX_ACTIVITIES, ConversationStates
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.bot import ask, messages, settled, threads

BOB = {"id": "29:1bob", "name": "Bob", "aadObjectId": "00000000-BBBB-4000-8000-000000000002"}


def thumb(channel: FakeConnector, sent_id: str, reaction: str, comment: str = "", **changes: Any) -> dict[str, Any]:
    value = {"actionName": "feedback", "actionValue": {"reaction": reaction, "feedback": comment}}
    fields = {"type": "invoke", "name": "message/submitAction", "value": value, "replyToId": sent_id, **changes}
    return activities.message(channel.url, None, **fields)


async def test_an_answer_of_long_ago_can_be_rated(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    await ask(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    await settled(channel, api)
    sent_id = next(iter(channel.shown))
    for _ in range(MAX_ACTIVITIES + 2):
        await ask(api, channel, activities.message(channel.url, "/help"))
    await settled(channel, api)
    assert (await api.post("/api/messages", json=thumb(channel, sent_id, "up"))).status_code == 400
    assert (await api.post("/api/messages", json=thumb(channel, sent_id, "like"))).status_code == 200
    assert (await api.post("/api/messages", json=thumb(channel, "other", "like"))).status_code == 400
    (thread,) = await threads(api)
    _, rated = await messages(api, thread["id"])
    assert rated["feedback"]["rating"] == "up"


@pytest.mark.parametrize("known", [True, False])
async def test_each_member_of_a_group_has_a_rating_of_their_own(
    api: httpx2.AsyncClient, channel: FakeConnector, settings: Settings, tmp_path: Path, known: bool
) -> None:
    question = activities.group_message(channel.url, "What is 2 + 2?")
    await ask(api, channel, question)
    await settled(channel, api)
    sent_id, place = next(iter(channel.shown)), {"conversation": question["conversation"]}
    bob = BOB if known else {"id": "29:guest", "name": "Guest"}
    for reaction, comment, sender in (("like", "Yes", question["from"]), ("dislike", "No", bob), ("dislike", "Never", bob)):
        rated = thumb(channel, sent_id, reaction, comment, **place, **{"from": sender})
        assert (await api.post("/api/messages", json=rated)).status_code == 200
    group = to_incoming(parse_activity(question), settings).owner
    async with SqliteStore(tmp_path / "chat.db") as store:
        opinions = {}
        for user in (activities.USER, BOB["aadObjectId"].lower()):
            kept, _ = await ConversationStates(store).get(Owner(activities.TENANT, user))
            opinions[user[9:13]] = [(each.rating, each.comment) for each in kept.ratings.values()]
        (thread,) = (await ConversationStates(store).get(group))[0].threads.values()
        stored = (await store.list_messages(group, thread, limit=9, after=None, before=None, order="desc")).items[0]
    assert opinions == {"aaaa": [("up", "Yes")], "bbbb": [("down", "Never")] if known else []}
    # Who has no id that somebody vouches for can only say it on the answer itself.
    assert (stored.feedback.comment if stored.feedback else None) == (None if known else "Never")


async def test_an_answer_that_is_gone_is_not_rated(
    api: httpx2.AsyncClient, channel: FakeConnector, settings: Settings, tmp_path: Path
) -> None:
    question = activities.group_message(channel.url, "What is 2 + 2?")
    await ask(api, channel, question)
    await settled(channel, api)
    group = to_incoming(parse_activity(question), settings).owner
    async with SqliteStore(tmp_path / "chat.db") as store:
        (thread,) = (await ConversationStates(store).get(group))[0].threads.values()
        await store.delete_thread(group, thread)
        rated = thumb(channel, next(iter(channel.shown)), "like", conversation=question["conversation"])
        assert (await api.post("/api/messages", json=rated)).status_code == 400
        kept, _ = await ConversationStates(store).get(Owner(activities.TENANT, activities.USER))
        assert kept.ratings == {}
