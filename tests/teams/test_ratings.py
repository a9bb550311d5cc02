"""Thumbs on answers of long ago, and in groups, where each member has a rating of their own."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from data_rights.author import erase_author, export_author_lines
from models import MAX_COMMENT, Message, Owner
from settings import Settings
from stores.sqlite.store import SqliteStore
from teams.activity import parse_activity, to_incoming
from teams.conversation_state import MAX_ACTIVITIES, ConversationStates
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.bot import ask, messages, settled, threads
from tests.support.collected import Collected

BOB = {"id": "29:1bob", "name": "Bob", "aadObjectId": "00000000-BBBB-4000-8000-000000000002"}
BOBS_ID = BOB["aadObjectId"].lower()
GUESTS = [{"id": "29:guest1", "name": "Guest"}, {"id": "29:guest2", "name": "Guest"}]


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


class Group:
    """A group in which one question was answered."""

    def __init__(self, api: httpx2.AsyncClient, channel: FakeConnector, settings: Settings) -> None:
        self._api, self._channel = api, channel
        self._question = activities.group_message(channel.url, "What is 2 + 2?")
        self._file = settings.data_dir / "chat.db"
        self.owner = to_incoming(parse_activity(self._question), settings).owner
        self.sent_id = ""

    async def ask(self) -> Group:
        await ask(self._api, self._channel, self._question)
        await settled(self._channel, self._api)
        self.sent_id = next(iter(self._channel.shown))
        return self

    def thumb(self, sender: dict[str, str], reaction: str, comment: str) -> dict[str, Any]:
        place = {"conversation": self._question["conversation"], "from": sender}
        return thumb(self._channel, self.sent_id, reaction, comment, **place)

    async def rate(self, sender: dict[str, str], reaction: str, comment: str) -> int:
        return (await self._api.post("/api/messages", json=self.thumb(sender, reaction, comment))).status_code

    async def thread(self, store: SqliteStore) -> str:
        return next(iter((await ConversationStates(store).get(self.owner))[0].threads.values()))

    async def ratings(self, *authors: str) -> list[list[tuple[str, str | None]]]:
        """Return what each author thinks of the answer."""
        async with SqliteStore(self._file) as store:
            given = [await store.list_author_feedback(self.owner, await self.thread(store), author) for author in authors]
        return [[(each.feedback.rating, each.feedback.comment) for each in of_one] for of_one in given]

    async def messages(self) -> list[Message]:
        async with SqliteStore(self._file) as store:
            thread_id = await self.thread(store)
            return (await store.list_messages(self.owner, thread_id, limit=9, after=None, before=None, order="asc")).items


@pytest.fixture
async def group(api: httpx2.AsyncClient, channel: FakeConnector, settings: Settings) -> Group:
    return await Group(api, channel, settings).ask()


async def test_each_member_of_a_group_has_a_rating_of_their_own(group: Group) -> None:
    ann = {"id": "29:1ann", "name": "Ann Ash", "aadObjectId": activities.USER}
    for sender, reaction, comment in (
        (ann, "like", "Yes"),
        (BOB, "dislike", "No"),
        (BOB, "dislike", "Never"),
        (GUESTS[0], "like", "Nice"),
        (GUESTS[1], "dislike", "Hm"),
    ):
        assert await group.rate(sender, reaction, comment) == 200
    guests = [guest["id"] for guest in GUESTS]
    assert await group.ratings(activities.USER, BOBS_ID, *guests) == [
        [("up", "Yes")],
        [("down", "Never")],
        [("up", "Nice")],
        [("down", "Hm")],
    ]
    assert [each.feedback for each in await group.messages()] == [None, None]


async def test_members_rate_an_answer_of_long_ago(api: httpx2.AsyncClient, channel: FakeConnector, group: Group) -> None:
    for _ in range(60):
        await ask(api, channel, activities.group_message(channel.url, "/help"))
    await settled(channel, api)
    for sender in (BOB, GUESTS[0]):
        assert await group.rate(sender, "like", "Late") == 200
    assert await group.ratings(BOBS_ID, GUESTS[0]["id"]) == [[("up", "Late")]] * 2


async def test_a_member_counts_once_whatever_is_delivered_again(
    collected: Collected, api: httpx2.AsyncClient, group: Group
) -> None:
    again = group.thumb(BOB, "like", "Yes")
    for rating in (again, again, group.thumb(BOB, "dislike", "No"), group.thumb(GUESTS[0], "dislike", "No")):
        assert (await api.post("/api/messages", json=rating)).status_code == 200
    assert collected.sum("chat.feedback", chat__feedback__rating="up") == 1
    assert collected.sum("chat.feedback", chat__feedback__rating="down") == 1


@pytest.mark.parametrize("sender", [BOB, GUESTS[0]])
async def test_who_never_wrote_has_their_rating_exported_and_erased(
    group: Group, settings: Settings, sender: dict[str, str]
) -> None:
    assert await group.rate(sender, "dislike", "A secret") == 200
    author = sender.get("aadObjectId", sender["id"]).lower()
    before = await group.messages()
    async with SqliteStore(settings.data_dir / "chat.db") as store:
        lines = [json.loads(line) async for line in await export_author_lines(store, author)]
        assert [line["type"] for line in lines] == ["author", "feedback", "end"]
        assert (lines[1]["message_id"], lines[1]["feedback"]["comment"]) == (before[1].id, "A secret")
        assert await erase_author(store, author) == 0
        assert await store.threads_of_author(author) == []
    assert b"A secret" not in (settings.data_dir / "chat.db").read_bytes()
    assert await group.messages() == before


async def test_nothing_of_a_rating_is_kept_outside_of_its_thread(group: Group, settings: Settings) -> None:
    assert await group.rate(BOB, "dislike", "A secret") == 200
    async with SqliteStore(settings.data_dir / "chat.db") as store:
        assert (await store.get_user_state(Owner(activities.TENANT, BOBS_ID))).etag is None
        await store.delete_thread(group.owner, await group.thread(store))
        assert await store.threads_of_author(BOBS_ID) == []
    assert b"A secret" not in (settings.data_dir / "chat.db").read_bytes()
    assert await group.rate(BOB, "like", "") == 400


async def test_no_long_rating_makes_room_for_another(api: httpx2.AsyncClient, channel: FakeConnector, group: Group) -> None:
    for _ in range(5):
        await ask(api, channel, activities.group_message(channel.url, "What is 2 + 2?"))
        await settled(channel, api)
    for group.sent_id in [id for id, activity in channel.shown.items() if activity.get("text")]:
        assert await group.rate(BOB, "dislike", "x" * MAX_COMMENT) == 200
    assert await group.ratings(BOBS_ID) == [[("down", "x" * MAX_COMMENT)] * 6]
