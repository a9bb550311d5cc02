"""Activities that are no messages, and bodies that are no activities."""

from __future__ import annotations

import json

import httpx2
import pytest

from settings import Settings
from teams.activity import parse_activity, to_incoming
from teams.job import Job, unpack
from teams.messages import ENGLISH
from teams.question import file_names
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.assistant_folder import HARBOUR
from tests.support.bot import ask, messages, settled, threads


@pytest.mark.parametrize("text", ['{"feedbackText": "Very helpful"}', "Very helpful", "", None])
@pytest.mark.parametrize("named", [True, False])
async def test_thumbs_are_kept_on_the_message(
    api: httpx2.AsyncClient, channel: FakeConnector, text: str | None, named: bool
) -> None:
    await ask(api, channel, activities.message(channel.url, "Tell me a joke"))
    await settled(channel, api)
    sent_id = next(reversed(channel.shown))
    action = {"actionName": "feedback", "actionValue": {"reaction": "dislike", "feedback": text}}
    invoke = activities.message(
        channel.url,
        type="invoke",
        name="message/submitAction",
        text=None,
        value=action,
        replyToId=sent_id if named else None,
    )
    answer = await api.post("/api/messages", json=invoke)
    assert (answer.status_code, answer.json()) == (200, {})
    (thread,) = await threads(api)
    _, rated = await messages(api, thread["id"])
    assert rated["feedback"]["rating"] == "down"
    assert rated["feedback"].get("comment") == ("Very helpful" if text else None)


@pytest.mark.parametrize(
    ("locale", "title", "wrong"), [("en-US", "What was wrong?", "It is not true"), ("de", "Was war falsch?", "Es stimmt nicht")]
)
async def test_a_thumb_down_asks_for_a_reason(
    api: httpx2.AsyncClient, channel: FakeConnector, locale: str, title: str, wrong: str
) -> None:
    await ask(api, channel, activities.message(channel.url, "Tell me a joke"))
    await settled(channel, api)
    thumb = {"actionName": "feedback", "actionValue": {"reaction": "dislike"}}
    invoke = {"type": "invoke", "text": None, "replyToId": next(reversed(channel.shown)), "locale": locale}
    fetch = activities.message(channel.url, name="message/fetchTask", value={"data": thumb}, **invoke)
    answer = await api.post("/api/messages", json=fetch)
    assert answer.status_code == 200
    task = answer.json()["task"]
    assert (task["type"], task["value"]["title"]) == ("continue", title)
    reason, comment = task["value"]["card"]["content"]["body"]
    assert reason["choices"][0] == {"title": wrong, "value": "wrong"}
    filled = json.dumps({reason["id"]: "wrong", comment["id"]: " In March it is six weeks. "})
    said = {"actionName": "feedback", "actionValue": {"reaction": "dislike", "feedback": filled}}
    submit = activities.message(channel.url, name="message/submitAction", value=said, **invoke)
    assert (await api.post("/api/messages", json=submit)).status_code == 200
    (thread,) = await threads(api)
    _, rated = await messages(api, thread["id"])
    assert (rated["feedback"]["rating"], rated["feedback"]["comment"]) == ("down", "wrong: In March it is six weeks.")


async def test_a_thumb_up_asks_for_words_only(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    value = {"data": {"actionName": "feedback", "actionValue": {"reaction": "like"}}}
    invoke = activities.message(channel.url, type="invoke", text=None, name="message/fetchTask", value=value)
    task = (await api.post("/api/messages", json=invoke)).json()["task"]
    assert [field["id"] for field in task["value"]["card"]["content"]["body"]] == ["comment"]


async def test_invokes_that_mean_nothing_here(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    for name, value, status in (
        ("message/submitAction", {"actionName": "feedback", "actionValue": {"reaction": "like"}}, 400),
        ("message/submitAction", {"actionName": "feedback", "actionValue": {"reaction": "love"}}, 400),
        ("message/submitAction", None, 400),
        ("message/submitAction", {"actionName": "feedback", "actionValue": {"reaction": ["like"]}}, 400),
        (
            "message/submitAction",
            {"actionName": "feedback", "actionValue": {"reaction": "like", "feedback": '{"reason": []}'}},
            400,
        ),
        ("message/fetchTask", None, 400),
        ("message/fetchTask", {"data": {"actionName": "feedback"}}, 400),
        ("message/fetchTask", {"data": {"actionName": "feedback", "actionValue": {"reaction": ["like"]}}}, 400),
        ("composeExtension/query", {}, 501),
    ):
        invoke = activities.message(channel.url, type="invoke", name=name, text=None, value=value)
        assert (await api.post("/api/messages", json=invoke)).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"message"',
        b"{}",
        b'{"type": 7}',
        b'{"type": "message"}',
        b'{"type": "message", "id": "1", "channelId": "msteams", "conversation": {"id": "a"}}',
        b'{"type": "message", "id": "1", "channelId": "a:b:c", "conversation": {"id": ""}, "serviceUrl": "x"}',
        b'{"type": "message", "id": "1", "entities": [7]}',
        b'{"type": "message", "id": "1", "entities": [{"type": "ProductInfo", "id": 1}], "channelId": "a:b"}',
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
async def test_what_is_no_activity_is_a_400(api: httpx2.AsyncClient, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answer = await api.post("/api/messages", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "invalid_activity")
    assert "microsoft_agents" not in {record.name.split(".")[0] for record in caplog.records}


async def test_any_field_of_the_wrong_type_is_no_failure_of_ours(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    good = activities.group_message(channel.url, "hi")
    for name in good:
        for value in (None, 7, "", "x", [], [None], {}, {"id": 7}):
            answer = await api.post("/api/messages", json={**good, name: value})
            assert answer.status_code in (202, 400), (name, value)
    await settled(channel, api)


async def test_a_body_that_is_too_large(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    answer = await api.post("/api/messages", json=activities.message(channel.url, "x" * 300_000))
    assert answer.status_code == 413


FILE = {
    "contentType": "application/vnd.microsoft.teams.file.download.info",
    "name": "plan.pdf",
    "content": {"downloadUrl": "x"},
}
IMAGE = {"contentType": "image/png", "contentUrl": "https://x.example/1"}
HTML = {"contentType": "text/html", "content": "<p>Tell me a joke</p>"}


async def test_files_beside_a_question_are_not_said_to_have_been_read(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    asked = activities.message(channel.url, "What is 2 + 2?", attachments=[HTML, FILE, IMAGE])
    answer = await ask(api, channel, asked)
    assert "4" in answer
    assert answer.endswith(ENGLISH["unread"].format(files="plan.pdf, image/png"))
    await settled(channel, api)
    (thread,) = await threads(api)
    question, _ = await messages(api, thread["id"])
    assert question["content"] == "What is 2 + 2?"


async def test_files_alone_are_named(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    only_files = activities.message(channel.url, None, attachments=[FILE, {"contentType": "a/b", "name": "x" * 5000}])
    answer = await ask(api, channel, only_files)
    assert "plan.pdf" in answer
    assert len(answer) < 300
    assert await threads(api) == []


@pytest.mark.parametrize("value", ["Tell me a joke", {"topic": "joke", "count": 2, "msteams": {"x": 1}}])
async def test_what_a_card_submits_is_a_question(api: httpx2.AsyncClient, channel: FakeConnector, value: object) -> None:
    await ask(api, channel, activities.message(channel.url, None, value=value))
    await settled(channel, api)
    (thread,) = await threads(api)
    question, _ = await messages(api, thread["id"])
    assert question["content"] == (value if isinstance(value, str) else "topic: joke\ncount: 2")


@pytest.mark.parametrize("value", [{}, [], 7, {"a": {"b": 1}}, {"a": None}, ""])
async def test_a_card_that_submits_nothing_to_read_is_no_question(
    api: httpx2.AsyncClient, channel: FakeConnector, value: object
) -> None:
    assert await ask(api, channel, activities.message(channel.url, None, value=value)) == ENGLISH["empty"]


def test_the_queue_keeps_what_files_are_called_and_nothing_else_of_them() -> None:
    settings = Settings(teams_local=True)
    activity = parse_activity(activities.message("http://localhost:1", "hi", attachments=[HTML, FILE, IMAGE]))
    packed = Job(to_incoming(activity, settings), "req_1").pack()
    assert "downloadUrl" not in packed
    assert file_names(unpack(packed, settings).incoming.activity) == ["plan.pdf", "image/png"]


OPTIONAL = ("text", "entities", "attachments", "locale", "channelData", "replyToId", "value", "name", "timestamp", "textFormat")
RARE = (
    "membersAdded",
    "suggestedActions",
    "deliveryMode",
    "localTimestamp",
    "expiration",
    "topicName",
    "inputHint",
    "relatesTo",
)


@pytest.mark.parametrize("empty", [None, ""])
@pytest.mark.parametrize("field", OPTIONAL + RARE)
def test_an_optional_field_may_be_empty(field: str, empty: str | None) -> None:
    activity = activities.message("http://localhost:1", "hi") | {field: empty}
    assert parse_activity(activity).text == (None if field == "text" else "hi")


def test_empty_fields_further_in_are_taken_too_and_what_is_the_senders_own_stays_as_it_is() -> None:
    sender = {"id": "29:1ann", "name": None, "aadObjectId": None, "role": ""}
    changes = {
        "from": sender,
        "attachments": [None, {"contentType": None, "name": None}, {"contentType": "image/png", "name": None}],
        "value": {"answer": None, "note": ""},
    }
    activity = parse_activity(activities.message("http://localhost:1", "hi") | changes)
    assert file_names(activity) == ["image/png"]
    assert activity.value == {"answer": None, "note": ""}


async def test_a_welcome_without_an_id_is_said(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    added = activities.message(channel.url, text=None, type="conversationUpdate", membersAdded=[activities.BOT])
    assert await ask(api, channel, added | {"id": None, "locale": None}) == HARBOUR.texts_for(None).welcome
