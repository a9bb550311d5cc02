"""A channel that takes a part, or answers oddly: nothing is shown or asked again and again, and nobody waits for nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from identity.authenticator import LOCAL_OWNER
from settings import Settings
from teams.messages import ENGLISH
from tests.fakes import activities
from tests.fakes.connector import BROKEN, FakeConnector, Fault
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.instances import Instances, open_instances

LONG = "word " * 7000 + "END " + "tail " * 100
KEPT = ENGLISH["kept"].partition("{")[0]


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel(Reply(text="Hello.")) as model:
        yield model


@pytest.fixture
async def instances(
    tmp_path: Path, model: FakeModel, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Instances]:
    settings = Settings(data_dir=tmp_path, teams_local=True, openai_base_url=f"{model.url}/v1", openai_model="gpt-x")
    async with open_instances(settings, channel, monkeypatch) as instances:
        yield instances


@pytest.mark.parametrize("how", ["deleted", "erased"])
async def test_what_was_deleted_before_its_answer_was_delivered_is_not_asked_again(
    instances: Instances, channel: FakeConnector, model: FakeModel, how: str
) -> None:
    store = instances.all[0].store
    channel.fault_of = lambda _, activity: BROKEN if activity["type"] == "message" else None
    await instances.receive(activities.message(channel.url, "Who is it?"))
    running = asyncio.create_task(instances.run())
    await channel.until(lambda: sum(each.status == 502 for each in channel.sent) > 10)
    [thread_id] = await store.list_thread_ids(LOCAL_OWNER, limit=5, after=None)
    if how == "deleted":
        await store.delete_thread(LOCAL_OWNER, thread_id)
    else:
        erasure = await store.begin_erasure(LOCAL_OWNER)
        while await store.erase_threads(LOCAL_OWNER, erasure.id, limit=10):
            pass
        assert await store.complete_erasure(LOCAL_OWNER, erasure.id)
    channel.fault_of = lambda *_: None
    await running
    assert len(model.requests) == 1
    assert await store.list_thread_ids(LOCAL_OWNER, limit=5, after=None) == []
    assert instances.queue.poison == []


@pytest.mark.parametrize("make", [activities.group_message, activities.message], ids=["group", "personal"])
async def test_the_beginning_of_an_answer_whose_end_is_refused_is_shown_twice_at_most(
    instances: Instances, channel: FakeConnector, model: FakeModel, make: activities.Make
) -> None:
    model.replies = [Reply(text=LONG)]
    channel.fault_of = lambda _, activity: BROKEN if "END" in activity.get("text", "") else None
    await instances.receive(make(channel.url, "Tell me"))
    await instances.run()
    assert max(Counter(channel.texts).values()) <= 2
    assert channel.texts[-1].startswith(KEPT)
    assert instances.queue.poison == []


ODD = {
    "text": (200, b"OK", "text/plain"),
    "null": (200, b"null", "application/json"),
    "a number": (200, b'{"id": 7}', "application/json"),
    "no id": (200, b'{"id": null}', "application/json"),
    "no utf-8": (200, b'{"id": "\xe4"}', "application/json"),
    "nothing": (200, b"", "application/json"),
    "203": (203, b"{}", "application/json"),
    "204": (204, b"", "application/json"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))
@pytest.mark.parametrize("make", [activities.group_message, activities.message], ids=["group", "personal"])
async def test_whatever_a_channel_answers_to_what_it_has_taken_it_has_arrived(
    instances: Instances, channel: FakeConnector, odd: tuple[int, bytes, str], make: activities.Make
) -> None:
    channel.odd = odd
    await instances.receive(make(channel.url, "Who is it?"))
    await instances.run()
    assert channel.texts.count("Hello.") in (1, 2)
    assert instances.queue.poison == []


@pytest.mark.parametrize("make", [activities.group_message, activities.message], ids=["group", "personal"])
async def test_a_question_whose_card_is_refused_says_what_is_asked(
    tmp_path: Path, model: FakeModel, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch, make: activities.Make
) -> None:
    model.replies = [Reply(calls=(Call("calculate", '{"expression": "2 + 2"}'),))]
    settings = Settings(
        data_dir=tmp_path,
        teams_local=True,
        openai_base_url=f"{model.url}/v1",
        openai_model="gpt-x",
        approval_tools=("calculate",),
    )
    channel.fault_of = lambda _, activity: Fault(400) if activity.get("attachments") else None
    async with open_instances(settings, channel, monkeypatch) as instances:
        await instances.receive(make(channel.url, "What is 2 + 2?"))
        await instances.run()
    told = "\n".join(channel.texts)
    assert "**Calculation**? expression: 2 + 2" in told
    assert ENGLISH["decide_elsewhere"] in told
    assert told.count(ENGLISH["asks"]) == 1


async def test_a_refused_card_does_not_show_its_text_again(
    instances: Instances, channel: FakeConnector, model: FakeModel
) -> None:
    model.replies = [Reply(calls=(Call("get_tide", '{"place": "Oslo"}'),)), Reply(text="It is rising.")]
    channel.fault_of = lambda _, activity: Fault(400) if activity.get("attachments") else None
    await instances.receive(activities.group_message(channel.url, "What is the tide in Oslo?"))
    await instances.run()
    assert channel.texts.count("It is rising.") == 1
