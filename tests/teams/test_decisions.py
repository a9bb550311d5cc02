"""A tool that asks first, in a chat: the card, its buttons, and who may press them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models import new_id
from settings import Settings
from stores.sqlite.store import SqliteStore
from teams.activity import parse_activity, to_incoming
from teams.decisions import ChatDecision, ChatDecisions, Refused
from tests.fakes import activities
from tests.fakes.agent import ScriptedAgent, say_hello
from tests.fakes.connector import FakeConnector
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.bot import ask, messages, post, serve_bot, settled, threads
from tests.support.groups import answered, asked_by
from tests.support.pauses import pause_again
from tests.support.scripted_turns import turns_of
from tests.support.stores import begin, end
from tools.tool import ToolSpec

BOB: Any = {"id": "29:1bob", "name": "Bob", "aadObjectId": "00000000-bbbb-4000-8000-000000000002"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, teams_local=True, approval_tools=("calculate",))


def card_of(activity: dict[str, Any]) -> dict[str, Any]:
    [attachment] = activity["attachments"]
    card: dict[str, Any] = attachment["content"]
    return card


async def asked(api: httpx2.AsyncClient, channel: FakeConnector, activity: dict[str, Any]) -> tuple[str, list[Any]]:
    """Ask what a tool has to be allowed for; return the id of what came back, and its buttons."""
    await ask(api, channel, activity)
    await settled(channel, api)
    sent_id = next(reversed(channel.shown))
    return sent_id, card_of(channel.shown[sent_id])["actions"]


def pressed(channel: FakeConnector, sent_id: str, button: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return activities.message(channel.url, None, value=button["data"], replyToId=sent_id, **changes)


async def press(api: httpx2.AsyncClient, channel: FakeConnector, activity: dict[str, Any]) -> None:
    await post(api, activity)
    await settled(channel, api)


async def test_a_card_asks_and_its_button_goes_on(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    sent_id, (allow, refuse) = await asked(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    assert (allow["title"], refuse["title"]) == ("Allow", "Refuse")
    assert "Calculation" in str(card_of(channel.shown[sent_id]))
    button = pressed(channel, sent_id, allow)
    await press(api, channel, button)
    assert "2 + 2 = 4" in channel.texts
    left = card_of(channel.shown[sent_id])
    assert "actions" not in left or left["actions"] == []
    assert "Allowed by Ann Ash" in str(left)
    count = len(channel.shown)
    await press(api, channel, button)
    assert len(channel.shown) == count
    await press(api, channel, pressed(channel, sent_id, refuse))
    assert channel.texts[-1] == "This was decided already."
    (thread,) = await threads(api)
    history = await messages(api, thread["id"])
    assert [message["status"] for message in history] == ["completed", "paused", "completed"]
    assert history[1]["tool_calls"][0]["decided_by"] == activities.USER


async def test_a_refused_call_does_not_run(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    sent_id, (_, refuse) = await asked(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    await press(api, channel, pressed(channel, sent_id, refuse))
    (thread,) = await threads(api)
    assert (await messages(api, thread["id"]))[1]["tool_calls"][0]["status"] == "refused"
    assert "Refused by Ann Ash" in str(card_of(channel.shown[sent_id]))


async def test_in_a_group_only_who_has_asked_decides(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    question = activities.group_message(channel.url, "What is 2 + 2?")
    sent_id, (allow, _) = await asked(api, channel, question)
    place = {"conversation": question["conversation"]}
    await press(api, channel, pressed(channel, sent_id, allow, **place, **{"from": BOB}))
    assert channel.texts[-1] == "Only who has asked can decide this."
    await press(api, channel, pressed(channel, sent_id, allow, **place))
    assert "2 + 2 = 4" in channel.texts


@pytest.mark.parametrize("value", [{}, {"thread_id": 7}, {"thread_id": "thread_x", "turn_id": "turn_x", "approved": True}, 7])
async def test_what_is_no_decision_changes_nothing(api: httpx2.AsyncClient, channel: FakeConnector, value: Any) -> None:
    await press(api, channel, activities.message(channel.url, None, value={"agent_decision": value}))
    assert len(channel.shown) == 1


async def go_on_elsewhere(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    """Allow what the chat was asked about, as the page does."""
    (thread,) = await threads(api)
    paused = (await messages(api, thread["id"]))[1]
    decisions = {"approvals": [{"call_id": paused["tool_calls"][0]["id"], "approved": True}]}
    path = f"/api/threads/{thread['id']}/turns/{paused['turn_id']}/continue"
    assert (await api.post(path, json=decisions)).status_code == 200
    await channel.until(lambda: "2 + 2 = 4" in channel.texts)


async def test_what_goes_on_elsewhere_is_shown_in_the_chat(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    sent_id, _ = await asked(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    await go_on_elsewhere(api, channel)
    left = card_of(channel.shown[sent_id])
    assert left.get("actions", []) == []
    assert "This was decided already." in str(left)


async def test_what_goes_on_elsewhere_is_shown_also_where_the_card_cannot_be_changed(
    api: httpx2.AsyncClient, channel: FakeConnector
) -> None:
    sent_id, _ = await asked(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    del channel.shown[sent_id]
    await go_on_elsewhere(api, channel)


async def test_a_button_of_a_question_that_was_passed_over_takes_the_buttons_away(
    api: httpx2.AsyncClient, channel: FakeConnector
) -> None:
    sent_id, (allow, _) = await asked(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    await ask(api, channel, activities.message(channel.url, "Never mind."))
    await settled(channel, api)
    await press(api, channel, pressed(channel, sent_id, allow))
    assert channel.texts[-1] == "This was decided already."
    assert card_of(channel.shown[sent_id]).get("actions", []) == []


async def test_what_was_said_before_the_question_stays(tmp_path: Path, channel: FakeConnector) -> None:
    call = Call("calculate", '{"expression": "2 + 2"}')
    async with FakeModel(Reply(text="Let me **see**.", calls=(call,)), Reply(text="Four.")) as model:
        settings = Settings(
            data_dir=tmp_path,
            teams_local=True,
            approval_tools=("calculate",),
            openai_base_url=f"{model.url}/v1",
            openai_model="gpt-x",
        )
        async with serve_bot(settings, channel) as api:
            sent_id, (allow, _) = await asked(api, channel, activities.message(channel.url, "What is 2 + 2?"))
            assert channel.shown[sent_id]["text"] == "Let me **see**."
            await press(api, channel, pressed(channel, sent_id, allow))
            assert card_of(channel.shown[sent_id])["body"][0]["text"] == "Let me **see**."
            assert "AIGeneratedContent" in str(channel.shown[sent_id]["entities"])


@pytest.mark.parametrize("who", ["ann", "bob"])
async def test_who_has_asked_decides_also_where_the_question_was_tried_again(tmp_path: Path, who: str) -> None:
    """The answer to the second attempt stands behind what somebody else has said meanwhile."""
    local = Settings(teams_local=True)
    members = {
        "ann": to_incoming(parse_activity(activities.group_message("http://127.0.0.1:9/", "Hm.")), local),
        "bob": to_incoming(parse_activity(activities.group_message("http://127.0.0.1:9/", "Hm.", **{"from": BOB})), local),
    }
    ann, bob = (member.author_id or "" for member in members.values())
    owner = members["ann"].owner
    async with SqliteStore(tmp_path / "chat.db") as store:
        thread = await store.create_thread(owner, title=None, metadata={})
        question = replace(asked_by(ann, "Refund it."), idempotency_key="k")
        await end(store, await begin(store, thread.id, question, owner=owner), "failed", content=None)
        await answered(store, thread.id, bob, owner=owner)
        again = replace(question, turn_id=new_id("turn"))
        reply = await pause_again(store, await begin(store, thread.id, again, owner=owner))
        decisions = ChatDecisions(store, turns_of(store, ScriptedAgent(say_hello)), no_tools, None)
        pressed = ChatDecision(thread_id=thread.id, turn_id=reply.turn_id, approved=True)
        found = await decisions.go_on(members[who], pressed, "req_1")
        if isinstance(found, Refused):
            assert (found.words, who) == ("not_asked", "bob")
        else:
            assert who == "ann"
            answer = await found[1].wait()
            # The same button again, as a queue delivers it whose worker has died: the answer is still to be shown.
            repeated = await decisions.go_on(members[who], pressed, "req_1")
            assert not isinstance(repeated, Refused)
            assert await repeated[1].wait() == answer


async def no_tools() -> dict[str, ToolSpec]:
    return {}
