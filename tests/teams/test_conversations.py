"""Conversations end to end: activities posted to the API, and what the channel and the API's callers see of them."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

from identity.authenticator import LOCAL_OWNER
from models import utcnow
from settings import Settings
from stores.sqlite.store import SqliteStore
from teams.messages import ENGLISH, FRENCH, GERMAN, LANGUAGES, SPANISH, language_of
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.fakes.model import FakeModel, Reply
from tests.support.assistant_folder import HARBOUR
from tests.support.bot import ask, messages, post, serve_bot, settled, threads
from tests.support.harbour import UNITS
from tools.tool import text_in


async def test_a_chat_is_a_thread_that_the_user_also_sees_through_the_api(
    api: httpx2.AsyncClient, channel: FakeConnector
) -> None:
    assert "12.75" in await ask(api, channel, activities.message(channel.url, "What is a 15% tip on $85?"))
    await ask(api, channel, activities.message(channel.url, "Tell me a joke"))
    (thread,) = await threads(api)
    question, answer, joke, _ = await messages(api, thread["id"])
    assert (question["content"], question["metadata"]) == ("What is a 15% tip on $85?", {"channel": "msteams"})
    assert answer["tool_calls"][0]["result"] == 12.75
    assert joke["content"] == "Tell me a joke"


async def test_the_same_activity_twice_is_answered_once(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    activity = activities.message(channel.url, "Tell me a joke")
    await asyncio.gather(*(post(api, activity) for _ in range(3)))
    await channel.until(lambda: bool(channel.shown))
    await settled(channel, api)
    await post(api, activity)
    await settled(channel, api)
    assert len(channel.shown) == 1
    assert len(await messages(api, (await threads(api))[0]["id"])) == 2


async def test_new_begins_a_thread_and_old_activities_stay_in_theirs(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    old = activities.message(channel.url, "Tell me a joke")
    new = activities.message(channel.url, "/new")
    await ask(api, channel, old)
    await settled(channel, api)
    assert await ask(api, channel, new) == ENGLISH["new"]
    await settled(channel, api)
    for again in (new, old):
        await post(api, again)
        await settled(channel, api)
    await ask(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    newer, older = await threads(api)
    assert (await messages(api, newer["id"]))[0]["content"] == "What is 2 + 2?"
    assert [message["role"] for message in await messages(api, older["id"])] == ["user", "assistant"]
    assert len(channel.shown) == 3


async def test_tides_come_in_the_units_that_the_user_chose(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    assert await ask(api, channel, activities.message(channel.url, "/units imperial")) == "From now on tides come in feet."
    await settled(channel, api)
    assert "ft" in await ask(api, channel, activities.message(channel.url, "What is the tide in Oslo?"))
    await settled(channel, api)
    assert await ask(api, channel, activities.message(channel.url, "/Units metric")) == "From now on tides come in metres."
    await settled(channel, api)
    assert "2.4 m" in await ask(api, channel, activities.message(channel.url, "What is the tide in Oslo?"))


async def test_a_thread_that_was_deleted_through_the_api_is_begun_anew(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    await ask(api, channel, activities.message(channel.url, "Tell me a joke"))
    await settled(channel, api)
    (thread,) = await threads(api)
    await api.delete(f"/api/threads/{thread['id']}")
    assert "4" in await ask(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    (fresh,) = await threads(api)
    assert fresh["id"] != thread["id"]


@pytest.mark.parametrize(
    ("locale", "strings"),
    [("en-GB", ENGLISH), ("de-AT", GERMAN), ("es", SPANISH), ("fr_CA", FRENCH), ("tlh", ENGLISH), (None, ENGLISH)],
)
async def test_the_bot_speaks_the_users_language(
    api: httpx2.AsyncClient, channel: FakeConnector, locale: str | None, strings: dict[str, str]
) -> None:
    added = activities.message(channel.url, type="conversationUpdate", text=None, membersAdded=[activities.BOT], locale=locale)
    assert await ask(api, channel, added) == HARBOUR.texts_for(locale).welcome
    preferences = f"{text_in(UNITS.help, language_of(strings))}\n\n"
    help = strings["help"].format(help=HARBOUR.texts_for(locale).help, preferences=preferences)
    assert await ask(api, channel, activities.message(channel.url, "/help", locale=locale)) == help
    assert await ask(api, channel, activities.message(channel.url, "  ", locale=locale)) == strings["empty"]
    too_long = activities.message(channel.url, "x" * 32_001, locale=locale)
    assert await ask(api, channel, too_long) == strings["too_long"].format(limit=32_000)
    assert await threads(api) == []


@pytest.mark.parametrize("said", ["help", "Help", "/assist", "/start"])
async def test_a_word_that_asks_for_help_is_answered_by_the_bot(
    api: httpx2.AsyncClient, channel: FakeConnector, said: str
) -> None:
    help = ENGLISH["help"].format(help=HARBOUR.texts["en"].help, preferences=f"{text_in(UNITS.help, 'en')}\n\n")
    assert await ask(api, channel, activities.message(channel.url, said)) == help
    assert await threads(api) == []


@pytest.mark.parametrize("said", ["/units", "/units furlongs"])
async def test_a_preference_without_a_value_that_it_knows_is_explained(
    api: httpx2.AsyncClient, channel: FakeConnector, said: str
) -> None:
    assert await ask(api, channel, activities.message(channel.url, said)) == text_in(UNITS.help, "en")
    assert await threads(api) == []


async def test_a_path_is_a_question_and_no_command(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    await ask(api, channel, activities.message(channel.url, "/etc/hosts"))
    await settled(channel, api)
    assert len(await threads(api)) == 1


def test_every_language_has_every_text_with_the_same_fields() -> None:
    for strings in LANGUAGES.values():
        assert set(strings) == set(ENGLISH)
        for name, text in strings.items():
            assert ("{" in text) == ("{" in ENGLISH[name]), name


async def test_others_being_added_is_no_reason_to_speak(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    for kind in ({"type": "conversationUpdate", "membersAdded": [{"id": "29:bob"}]}, {"type": "messageReaction"}):
        await post(api, activities.message(channel.url, text=None, **kind))
    await settled(channel, api)
    assert channel.sent == []


async def test_in_a_group_it_answers_when_mentioned_and_knows_who_asks(
    api: httpx2.AsyncClient, channel: FakeConnector, settings: Settings
) -> None:
    await post(api, activities.group_message(channel.url, "Tell me a joke", mention=False))
    await settled(channel, api)
    assert channel.sent == []
    await ask(api, channel, activities.group_message(channel.url, "Tell me a joke"))
    await settled(channel, api)
    assert {each.kind for each in channel.sent} <= {"typing", "message", "update"}
    bob = {"id": "29:bob", "name": "Bob:\nB", "aadObjectId": "00000000-aaaa-4000-8000-000000000002"}
    await ask(api, channel, {**activities.group_message(channel.url, "What is 2 + 2?"), "from": bob})
    await settled(channel, api)
    # The conversation owns its thread: none of its members does.
    assert await threads(api) == []
    async with SqliteStore(settings.data_dir / "chat.db") as store:
        found = await store.idle_threads(since=utcnow(), limit=10)
        (owned_ref,) = found
        stored = await store.list_messages(owned_ref.owner, owned_ref.id, limit=10, after=None, before=None, order="asc")
    assert [m.content for m in stored.items if m.role == "user"] == ["Ann Ash: Tell me a joke", "Bob B: What is 2 + 2?"]
    assert stored.items[2].metadata == {"channel": "msteams", "author": "Bob B", "author_id": bob["aadObjectId"]}
    assert owned_ref.owner.tenant == f"bot:{activities.TENANT}"


async def test_nobody_becomes_a_teams_user_by_saying_so_in_a_web_chat(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    await ask(api, channel, activities.web_chat(channel.url, "Tell me a joke"))
    await settled(channel, api)
    assert channel.kinds[-1] in ("final", "message")
    assert await threads(api) == []


async def test_expected_replies_come_in_the_response(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    activity = activities.message(channel.url, "What is a 15% tip on $85?", deliveryMode="expectReplies")
    answer = await api.post("/api/messages", json=activity)
    assert answer.status_code == 200
    (reply,) = answer.json()["activities"]
    assert "12.75" in reply["text"]
    assert channel.sent == []


async def test_a_failed_turn_is_told_in_the_users_language_with_the_requests_id(tmp_path: Path, channel: FakeConnector) -> None:
    async with FakeModel(Reply(status=400, error={"message": "secret reason", "type": "x", "code": "content_filter"})) as model:
        settings = Settings(data_dir=tmp_path, teams_local=True, openai_base_url=f"{model.url}/v1", openai_model="m")
        async with serve_bot(settings, channel) as api:
            activity = activities.message(channel.url, "hi", locale="de-DE")
            await api.post("/api/messages", json=activity, headers={"X-Request-ID": "req_7"})
            await channel.until(lambda: bool(channel.shown))
    assert channel.texts[0].endswith("(Kennung: req_7)")
    assert "secret" not in channel.texts[0]


async def test_stop_ends_the_turn_and_keeps_what_was_said(tmp_path: Path, channel: FakeConnector) -> None:
    go_on = asyncio.Event()
    pieces = 0

    async def wait() -> None:
        nonlocal pieces
        pieces += 1
        if pieces > 6:
            await go_on.wait()

    async with FakeModel(Reply("word " * 40, wait_for_piece=wait)) as model:
        settings = Settings(data_dir=tmp_path, teams_local=True, openai_base_url=f"{model.url}/v1", openai_model="m")
        async with serve_bot(settings, channel) as api:
            await post(api, activities.message(channel.url, "hi"))
            await channel.until(lambda: "streaming" in channel.kinds)
            channel.stopped = True
            pieces = -1000
            go_on.set()
            await settled(channel, api)
            (thread,) = await threads(api)
            _, answer = await messages(api, thread["id"])
            sent = len(channel.sent)
            await settled(channel, api)
    assert answer["status"] in ("cancelled", "completed")
    assert channel.sent[-1].status == 403
    assert len(channel.sent) == sent


async def test_a_message_waits_for_the_one_before_it(tmp_path: Path, channel: FakeConnector) -> None:
    first_may_end = asyncio.Event()
    replies = [Reply("first answer", wait=first_may_end.wait), Reply("second answer")]  # type: ignore[arg-type]
    async with FakeModel(*replies) as model:
        settings = Settings(data_dir=tmp_path, teams_local=True, openai_base_url=f"{model.url}/v1", openai_model="m")
        async with serve_bot(settings, channel) as api:
            await post(api, activities.message(channel.url, "one"))
            second = asyncio.create_task(post(api, activities.message(channel.url, "two")))
            await channel.until(lambda: "informative" in channel.kinds)
            first_may_end.set()
            await channel.until(lambda: len(channel.shown) == 2)
            await second
    assert channel.texts == ["first answer", "second answer"]


async def test_the_state_goes_with_everything_else_of_its_owner(
    api: httpx2.AsyncClient, channel: FakeConnector, settings: Settings
) -> None:
    await ask(api, channel, activities.message(channel.url, "Tell me a joke"))
    await settled(channel, api)
    async with SqliteStore(settings.data_dir / "chat.db") as store:
        state = await store.get_user_state(LOCAL_OWNER)
        assert state.thread_id == (await threads(api))[0]["id"]
        assert "joke" not in json.dumps(state.values)
        assert "Ann" not in json.dumps(state.values)
        kept: Any = state.values["bot"]
        # The conversation's own id only where it is needed to say something there, and then nothing that it is not needed for.
        (reference,) = kept.pop("references").values()
        assert reference.keys() == {"channelId", "serviceUrl", "conversation", "recipient", "from", "locale"}
        assert reference["conversation"] == {
            "id": "a:1;x@thread",
            "conversationType": "personal",
            "tenantId": activities.TENANT,
        }
        assert reference["conversation"]["id"] not in json.dumps(kept)


async def test_an_agent_that_cannot_be_started_is_told(
    settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Settings) -> None:
        raise OSError("secret")

    monkeypatch.setattr("tools.registry.open_tools", broken)
    async with serve_bot(settings, channel) as api:
        assert (await ask(api, channel, activities.message(channel.url, "hi"))).startswith(ENGLISH["failed"][:20])
        assert (await ask(api, channel, activities.message(channel.url, "/help"))) == ENGLISH["help"].format(
            help=HARBOUR.texts["en"].help, preferences=""
        )


async def test_streaming_goes_by_the_settings_and_begins_with_the_assistants_words(
    tmp_path: Path, channel: FakeConnector
) -> None:
    async with FakeModel(Reply("word " * 40)) as model:
        settings = Settings(
            data_dir=tmp_path,
            teams_local=True,
            openai_base_url=f"{model.url}/v1",
            openai_model="m",
            bot_stream_pace_seconds=4,
            bot_stream_chunk=50,
        )
        async with serve_bot(settings, channel) as api:
            await ask(api, channel, activities.message(channel.url, "hi", locale="de-DE"))
            await settled(channel, api)
    streamed = [each for each in channel.sent if each.kind in ("informative", "streaming", "final")]
    assert streamed[0].activity["text"] == HARBOUR.texts["de"].start == "Ich schaue nach …"
    assert min(later.at - earlier.at for earlier, later in pairwise(streamed)) >= 4
