"""What a message asks that is more than its text: what it quotes, and what it corrects."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from settings import Settings
from teams.activity import parse_activity, to_incoming
from teams.job import Job, unpack
from teams.messages import ENGLISH
from teams.question import MAX_QUOTE, message_text, quote_of, whole_question
from teams.queue import MAX_BYTES
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.bot import ask, messages, post, settled, threads

HTML = (
    '<blockquote itemscope="" itemtype="http://schema.skype.com/Reply" itemid="17">\r\n<strong itemprop="mri" itemid="29:bob">'
    'Bob &amp; Co</strong><span itemprop="time" itemid="17"></span>\r\n<p itemprop="preview">Say 2 &lt; 3<br>and on</p>\r\n'
    "</blockquote>\r\n<p>Is that so?</p>"
)
ENTITY = {"type": "quotedReply", "quotedReply": {"messageId": "17", "senderName": "Bob", "preview": "Say 2 < 3"}}
EDIT: dict[str, Any] = {
    "type": "messageUpdate",
    "channelData": {"tenant": {"id": activities.TENANT}, "eventType": "editMessage"},
}


def html(content: Any) -> dict[str, Any]:
    return {"attachments": [{"contentType": "text/html", "content": content}]}


@pytest.mark.parametrize(
    ("fields", "quoted"),
    [
        (html(HTML), "> Bob & Co: Say 2 < 3\n> and on"),
        ({"entities": [ENTITY], "text": '<quoted messageId="17"/> Is that so?'}, "> Bob: Say 2 < 3"),
        ({"entities": [ENTITY], **html(HTML)}, "> Bob: Say 2 < 3"),
        (html(HTML.replace("Bob &amp; Co", "")), "> Say 2 < 3\n> and on"),
    ],
)
async def test_what_is_quoted_is_part_of_the_question(
    api: httpx2.AsyncClient, channel: FakeConnector, settings: Settings, fields: dict[str, Any], quoted: str
) -> None:
    body = activities.message(channel.url, **{"text": "Is that so?", **fields})
    await ask(api, channel, body)
    question, _ = await messages(api, (await threads(api))[0]["id"])
    assert question["content"] == f"{quoted}\n\nIs that so?"
    job = Job(to_incoming(parse_activity(body), settings), "req_1")
    for _ in range(3):
        job = unpack(job.pack(), settings)
    assert whole_question(job.incoming.activity, "Ann") == f"{quoted}\n\nAnn: Is that so?"


@pytest.mark.parametrize(
    "fields",
    [
        html("<p>Is that so?</p>"),
        html("<blockquote>An ordinary one</blockquote><p>Is that so?</p>"),
        html({"schema.skype.com/Reply": 1}),
        html('<blockquote itemtype="http://schema.skype.com/Reply">'),
        html("schema.skype.com/Reply " + "<blockquote>" * 5000),
        html("schema.skype.com/Reply <![a=>"),
        html("schema.skype.com/Reply <![DOCTYPE x]>"),
        {"entities": [{"type": "quotedReply"}]},
        {"entities": [{"type": "quotedReply", "quotedReply": "x"}]},
        {"entities": [{"type": "quotedReply", "quotedReply": {"preview": None, "senderName": []}}]},
    ],
)
def test_what_is_no_quote_is_none(fields: dict[str, Any]) -> None:
    assert quote_of(parse_activity(activities.message("https://smba.example/", "Is that so?", **fields))) is None


def test_a_quote_is_one_and_no_longer_than_it_may_be() -> None:
    nested = HTML.replace("and on", f"<blockquote>inner</blockquote>{'x' * 5000}") + HTML.replace("Say", "Another")
    quote = quote_of(parse_activity(activities.message("https://smba.example/", **html(nested))))
    assert quote
    assert quote.text.startswith("Say 2 < 3")
    assert "inner" in quote.text
    assert "Another" not in quote.text
    assert len(quote.text) == MAX_QUOTE


async def test_a_corrected_message_is_answered_as_a_correction_once(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    first = activities.message(channel.url, "What is 2 + 3?")
    await ask(api, channel, first)
    edited = {**first, **EDIT, "text": "What is 2 + 4?", "timestamp": "2026-01-01T10:31:00Z"}
    for _ in range(2):
        await post(api, edited)
        await settled(channel, api)
    again = {**edited, "text": "What is 2 + 5?", "timestamp": "2026-01-01T10:32:00Z"}
    await ask(api, channel, again)
    said = [each["content"] for each in await messages(api, (await threads(api))[0]["id"]) if each["role"] == "user"]
    assert said == ["What is 2 + 3?", *(ENGLISH["edited"].format(text=f"What is 2 + {number}?") for number in (4, 5))]
    assert [text.split(" = ")[-1] for text in channel.texts] == ["5", "6", "7"]


@pytest.mark.parametrize(
    "change",
    [
        {"channelData": {"eventType": "undeleteMessage"}},
        {"type": "messageDelete", "channelData": {"eventType": "softDeleteMessage"}},
        {"channelData": None},
    ],
)
async def test_other_changes_of_messages_ask_for_nothing(
    api: httpx2.AsyncClient, channel: FakeConnector, change: dict[str, Any]
) -> None:
    body = activities.message(channel.url, "What is 2 + 3?", **{**EDIT, **change})
    await post(api, body)
    await settled(channel, api)
    assert channel.sent == []


async def test_a_correction_in_a_group_is_answered_where_the_bot_is_mentioned(
    api: httpx2.AsyncClient, channel: FakeConnector
) -> None:
    body = activities.group_message(channel.url, "What is 2 + 3?", mention=False, **EDIT)
    await post(api, body)
    await settled(channel, api)
    assert channel.sent == []
    await ask(api, channel, activities.group_message(channel.url, "What is 2 + 3?", **EDIT))
    assert channel.texts[-1].endswith("5")


@pytest.mark.parametrize("said", [None, "", "<at>bot</at>"])
def test_a_mention_is_taken_out_whatever_is_told_of_its_text(said: str | None) -> None:
    mention = {"type": "mention", "mentioned": activities.BOT, **({} if said is None else {"text": said})}
    body = activities.message("http://localhost:1", f"{said or ''} Who is it?", entities=[mention] * 30)
    assert message_text(parse_activity(body)) == "Who is it?"


def test_text_in_other_letters_takes_a_place_in_the_queue_as_utf_8() -> None:
    settings = Settings(teams_local=True)
    for text in ("\u4e2d" * 14_000, "\U0001f600" * 10_000, "a\ud800b"):
        packed = Job(to_incoming(parse_activity(activities.message("http://localhost:1", text)), settings), "req_1").pack()
        assert len(packed.encode()) < MAX_BYTES
        assert unpack(packed, settings).incoming.activity.text == text.replace("\ud800", "\ufffd")
