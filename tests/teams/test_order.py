"""Messages of one conversation that come quickly one after the other are answered and stored in that order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from identity.authenticator import LOCAL_OWNER
from settings import Settings
from stores.contract import ThreadStore
from teams.activity import parse_activity, to_incoming
from teams.clock import Clock
from teams.conversation_state import ConversationStates
from teams.order import ConversationOrder
from teams.worker import MAX_QUEUED_SECONDS
from tests.fakes import activities
from tests.fakes.connector import BROKEN, FakeClock, FakeConnector
from tests.fakes.model import FakeModel, Reply
from tests.support.bot import asked, messages, post, settled, threads
from tests.support.instances import Fate, Instances, open_instances
from tests.support.stores import Backend

FIVE = range(5)
LOCAL = Settings(teams_local=True)


@pytest.fixture
async def instances(settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Instances]:
    async with open_instances(settings, channel, monkeypatch) as instances:
        yield instances


def quick(channel: FakeConnector, **changes: Any) -> list[dict[str, Any]]:
    return [activities.message(channel.url, f"What is {number} + 100?", **changes) for number in FIVE]


def quick_anywhere(count: int) -> list[dict[str, Any]]:
    return [activities.message("http://127.0.0.1:9/", f"What is {number} + 100?") for number in range(count)]


def answered(channel: FakeConnector) -> list[int]:
    """Return the sums that were shown, in their order."""
    return [int(text.rpartition("= ")[2]) - 100 for text in channel.texts]


async def arrived(store: ThreadStore, sent: dict[str, Any]) -> None:
    """Wait until a message has its place in the order, or has had it."""
    key = to_incoming(parse_activity(sent), LOCAL).key
    while True:
        kept, _ = await ConversationStates(store).get(LOCAL_OWNER)
        if kept.find(key) or any(ticket.key == key for ticket in kept.tickets):
            return
        await asyncio.sleep(0)


async def test_quick_messages_are_answered_and_stored_in_the_order_of_their_arrival(
    api: httpx2.AsyncClient, channel: FakeConnector
) -> None:
    sent = quick(channel)
    posts = []
    for each in sent:
        posts.append(asyncio.create_task(post(api, each)))
        # The requests go out one after the other, and none waits for the answer of the one before.
        await asyncio.sleep(0)
    await asyncio.gather(*posts)
    await channel.until(lambda: len(channel.shown) == 5)
    await settled(channel, api)
    (thread,) = await threads(api)
    stored = await messages(api, thread["id"])
    assert [each["content"] for each in stored if each["role"] == "user"] == [each["text"] for each in sent]
    assert answered(channel) == list(FIVE)


async def test_the_order_holds_on_every_instance_and_whoever_waits_holds_no_place_in_the_queue(
    instances: Instances, channel: FakeConnector, settings: Settings
) -> None:
    sent = quick(channel)
    for number, each in enumerate(sent):
        await instances.receive(each, number % 2)
    # The queue promises no order.
    instances.queue.messages.sort(key=lambda message: -message.number)
    for place, message in enumerate(instances.queue.messages):
        message.number = place
    await instances.run()
    assert answered(channel) == list(FIVE)
    assert await asked(settings) == [each["text"] for each in sent]
    assert instances.queue.poison == []


@pytest.mark.parametrize("queued", [True, False])
async def test_many_messages_from_many_instances_keep_their_order_on_every_store(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, backend: Backend, *, queued: bool
) -> None:
    fates = [Fate() for _ in range(3)]
    # Three instances have much to do: the channel's clock must not run ahead of them on a busy machine.
    async with (
        FakeConnector(FakeClock(patience=0.15)) as channel,
        open_instances(settings, channel, monkeypatch, *fates, backend=backend, queued=queued) as instances,
    ):
        waiting = []
        for number in range(9):
            sent = activities.message(channel.url, f"What is {number} + 100?", timestamp=f"2026-01-01T10:30:0{number}.5Z")
            # All at once where there is no queue: a request ends when its message is in the thread, or after seconds.
            waiting.append(asyncio.create_task(instances.receive(sent, number % 3)))
            await arrived(instances.all[0].store, sent)
        if queued:
            await asyncio.gather(*waiting)
            await instances.run()
        else:
            await channel.until(lambda: len(channel.shown) == 9)
        assert answered(channel) == list(range(9))
        await asyncio.gather(*waiting)
        state = await instances.all[0].store.get_user_state(LOCAL_OWNER)
        assert not queued or "tickets" not in state.values["bot"]  # type: ignore[operator]


async def test_no_place_is_lost_when_many_are_taken_at_once(store: ThreadStore) -> None:
    clock = Clock()
    orders = [ConversationOrder(ConversationStates(store), clock) for _ in range(4)]
    activity = [to_incoming(parse_activity(each), LOCAL) for each in quick_anywhere(12)]
    await asyncio.gather(*(orders[number % 4].join(each) for number, each in enumerate(activity)))
    kept, _ = await ConversationStates(store).get(LOCAL_OWNER)
    assert sorted(each.key for each in kept.tickets) == sorted(each.key for each in activity)
    # Those that one process took are in the order in which it was asked.
    for process in range(4):
        own = [each.key for each in activity[process::4]]
        assert [each.key for each in kept.tickets if each.key in own] == own


async def test_what_was_sent_before_goes_before_though_it_was_delivered_later(
    instances: Instances, channel: FakeConnector, settings: Settings
) -> None:
    sent = [{**each, "timestamp": f"2026-01-01T10:30:0{number}.5Z"} for number, each in enumerate(quick(channel))]
    for number in (1, 0, 3, 2, 4):
        await instances.receive(sent[number], number % 2)
    await instances.run()
    assert answered(channel) == list(FIVE)


async def test_other_conversations_do_not_wait(instances: Instances, channel: FakeConnector) -> None:
    other = {"id": "a:2", "conversationType": "personal", "tenantId": activities.TENANT}
    await instances.receive(activities.message(channel.url, "What is 1 + 100?"))
    await instances.receive(activities.message(channel.url, "What is 2 + 100?", conversation=other))
    channel.faults = [None, None] + [BROKEN] * 8
    await instances.run()
    assert sorted(answered(channel)) == [1, 2]


async def test_a_redelivered_message_takes_no_second_place(
    instances: Instances, channel: FakeConnector, settings: Settings
) -> None:
    first, second, third = quick(channel)[:3]
    for each in (first, second, first, third, second, first):
        await instances.receive(each)
    await instances.run()
    await instances.receive(second, 1)
    await instances.run()
    assert answered(channel) == [0, 1, 2]
    assert await asked(settings) == [each["text"] for each in (first, second, third)]


async def test_nobody_waits_for_ever_for_a_process_that_died(
    settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_the_model = asyncio.Event()

    async def never() -> None:
        asked_the_model.set()
        await asyncio.Event().wait()

    replies = [Reply("never seen", wait=never), *(Reply(f"= {100 + number}") for number in (1, 2, 0))]
    async with FakeModel(*replies) as model:
        settings = settings.model_copy(
            update={"openai_base_url": f"{model.url}/v1", "openai_model": "m", "turn_lease_seconds": 1}
        )
        async with open_instances(settings, channel, monkeypatch) as instances:
            for each in quick(channel)[:3]:
                await instances.receive(each)
            running = asyncio.create_task(instances.run())
            await asked_the_model.wait()
            died_at = channel.clock.now()
            instances.all[0].fate.died.set()
            await channel.until(lambda: len(channel.shown) == 2)
            assert answered(channel) == [1, 2]
            # The lease of its turn goes by real time, in which the channel's clock runs on: how far, the machine's load says.
            assert channel.clock.now() - died_at < MAX_QUEUED_SECONDS
            await running
    assert answered(channel) == [1, 2, 0]
