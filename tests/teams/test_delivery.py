"""An answer that is stored is delivered, sooner or later, or its user is told where it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from identity.authenticator import LOCAL_OWNER
from settings import Settings
from teams.attempt import Redeliver
from teams.channel_rules import Mode
from teams.messages import ENGLISH
from teams.worker import MAX_FAILURES
from tests.fakes import activities
from tests.fakes.connector import (
    BROKEN,
    DELETED,
    DROP_AFTER,
    FORBIDDEN,
    REMOVED,
    TOO_LARGE,
    UNAUTHORIZED,
    FakeConnector,
    Fault,
)
from tests.support.bot import post, serve_bot, settled
from tests.support.collected import Collected
from tests.support.instances import Instances, open_instances
from tests.teams.conftest import Turn

TIP = "What is a 15% tip on $85?"


@pytest.fixture
async def instances(settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Instances]:
    async with open_instances(settings, channel, monkeypatch) as instances:
        yield instances


def refuse(channel: FakeConnector, fault: Fault, refused: Callable[[dict[str, Any]], bool]) -> None:
    channel.fault_of = lambda _, activity: fault if activity["type"] == "message" and refused(activity) else None


def deliveries(collected: Collected, outcome: str) -> float:
    return collected.sum("chat.deliveries", chat__delivery__outcome=outcome)


OUTAGES = [
    (BROKEN, 240),
    (UNAUTHORIZED, 240),
    pytest.param(BROKEN, 600, marks=pytest.mark.long),
    (Fault(429, {"Retry-After": "60"}), 300),
]


@pytest.mark.parametrize(("fault", "seconds"), OUTAGES)
async def test_an_outage_delays_an_answer(instances: Instances, channel: FakeConnector, fault: Fault, seconds: float) -> None:
    channel.break_for(seconds, fault)
    await instances.receive(activities.message(channel.url, TIP))
    await instances.receive(activities.message(channel.url, "What is 2 + 2?"))
    await instances.run()
    assert len(channel.shown) == 2
    # After some minutes those behind it no longer wait.
    assert ["12.75" in text for text in channel.texts] == ([True, False] if seconds <= 300 else [False, True])
    assert instances.queue.poison == []


@pytest.mark.parametrize(("fault", "seconds"), OUTAGES[:2])
async def test_an_outage_delays_an_answer_on_this_machine(
    api: httpx2.AsyncClient, channel: FakeConnector, fault: Fault, seconds: float
) -> None:
    channel.break_for(seconds, fault)
    await post(api, activities.message(channel.url, TIP))
    await channel.until(lambda: bool(channel.shown))
    await settled(channel, api)
    assert ["12.75" in text for text in channel.texts] == [True]


async def test_a_token_that_cannot_be_had_delays_an_answer(
    settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked < 12:
            raise RuntimeError("no identity")
        return "ours"

    @asynccontextmanager
    async def token_source(_: Settings) -> AsyncIterator[Any]:
        yield token

    monkeypatch.setattr("teams.connector.open_token_source", token_source)
    async with serve_bot(settings, channel) as api:
        await post(api, activities.message(channel.url, TIP))
        await channel.until(lambda: bool(channel.shown))
        await settled(channel, api)
    assert "12.75" in channel.texts[0]
    assert channel.sent[-1].authorization == "Bearer ours"


@pytest.mark.parametrize("fault", [Fault(400), TOO_LARGE, FORBIDDEN])
async def test_who_cannot_be_shown_an_answer_is_told_where_it_is(
    instances: Instances, channel: FakeConnector, fault: Fault, collected: Collected
) -> None:
    refuse(channel, fault, lambda activity: "12.75" in activity["text"])
    await instances.receive(activities.message(channel.url, TIP))
    await instances.run()
    assert channel.texts == [ENGLISH["kept"].format(request_id="req_1")]
    assert instances.queue.poison == []
    assert deliveries(collected, "refused") > 0
    assert (deliveries(collected, "sent"), deliveries(collected, "given_up")) == (1, 0)


async def test_what_is_too_large_comes_in_pieces(turn: Turn) -> None:
    turn.connector.fault_of = lambda _, activity: TOO_LARGE if len(activity["text"]) > 2000 else None
    turn.say(0, "word " * 1000).end(1)
    await turn.show()
    assert " ".join(turn.connector.texts).split() == ["word"] * 1000


@pytest.mark.parametrize("fault", [DELETED, FORBIDDEN])
async def test_a_growing_message_that_was_deleted_goes_on_in_a_new_one(turn: Turn, fault: Fault) -> None:
    turn.connector.fault_of = lambda method, _: fault if method == "PUT" and len(turn.connector.shown) < 2 else None
    turn.say(0, "one ").say(3, "two ").say(6, "three").end(9)
    incoming = activities.group_message(turn.connector.url, "hi")
    await turn.show(incoming=incoming, mode=Mode.UPDATE)
    assert turn.connector.texts == ["one ", "one two three"]


async def test_an_answer_to_a_message_that_was_deleted_is_given_in_the_conversation(turn: Turn) -> None:
    turn.connector.faults = [DELETED]
    turn.say(0, "one").end(1)
    await turn.show(incoming=activities.web_chat(turn.connector.url), mode=Mode.ONCE)
    assert turn.connector.texts == ["one"]
    assert turn.connector.sent[-1].path.endswith("/activities")


async def test_what_cannot_be_delivered_for_hours_is_given_up_and_told_afterwards(
    instances: Instances, channel: FakeConnector, collected: Collected
) -> None:
    channel.break_for(1e9, BROKEN)
    await instances.receive(activities.message(channel.url, TIP))
    await instances.run()
    (payload,) = instances.queue.poison
    assert (deliveries(collected, "sent"), deliveries(collected, "given_up")) == (0, 0)
    assert deliveries(collected, "repeated") > 50
    bot = instances.all[1].bot
    with pytest.raises(Exception, match="BUSY"):
        await bot.handle_dead_letter(payload)
    channel.fault_of = lambda *_: None
    await bot.handle_dead_letter(payload)
    assert channel.texts == [ENGLISH["kept"].format(request_id="req_1")]
    assert (deliveries(collected, "sent"), deliveries(collected, "given_up")) == (1, 2)
    # Nothing waits for it any more.
    await instances.receive(activities.message(channel.url, "What is 2 + 2?"))
    await instances.run()
    assert "= 4" in channel.texts[1]


async def test_who_has_removed_the_bot_is_not_written_to_again(
    instances: Instances, channel: FakeConnector, collected: Collected
) -> None:
    channel.break_for(1e9, REMOVED)
    began = channel.clock.now()
    await instances.receive(activities.message(channel.url, TIP))
    await instances.run()
    assert instances.queue.poison == []
    assert channel.clock.now() - began < 20
    assert (deliveries(collected, "unreachable"), deliveries(collected, "given_up")) == (1, 0)


async def test_a_last_message_whose_answer_was_lost_is_not_sent_again(turn: Turn) -> None:
    turn.connector.faults = [None, DROP_AFTER]
    turn.say(0, "one ").end(1)
    outcome = await turn.show()
    assert turn.connector.texts == ["one "]
    assert outcome.activity_id == next(iter(turn.connector.shown))
    assert turn.connector.kinds == ["streaming", "final"]


async def test_a_stream_that_was_ended_in_time_though_nobody_heard_of_it_goes_on_as_a_message(turn: Turn) -> None:
    turn.connector.fault_of = lambda _, activity: (
        DROP_AFTER if activity["type"] == "message" and not turn.connector.shown else None
    )
    turn.say(0, "one ").say(50, "two ").say(120, "three").end(130)
    await turn.show()
    assert turn.connector.texts == ["one two three"]


async def test_a_last_message_that_takes_long_is_not_sent_by_another_instance_meanwhile(
    instances: Instances, channel: FakeConnector
) -> None:
    await instances.receive(activities.message(channel.url, TIP))
    payload = instances.queue.messages[0].payload
    await instances.queue.put(payload)
    final = 0

    def slow(_: str, activity: dict[str, Any]) -> Fault | None:
        nonlocal final
        final += activity["type"] == "message"
        return Fault(429, {"Retry-After": "8"}) if activity["type"] == "message" and final < 4 else None

    channel.fault_of = slow
    await instances.run()
    assert len(channel.shown) == 1


async def test_what_was_answered_after_all_is_not_called_lost(
    instances: Instances, channel: FakeConnector, collected: Collected
) -> None:
    await instances.receive(activities.message(channel.url, TIP))
    payload = instances.queue.messages[0].payload
    await instances.run()
    # A copy of it that another instance could not finish.
    await instances.all[1].bot.handle_dead_letter(payload)
    assert ["12.75" in text for text in channel.texts] == [True]
    assert deliveries(collected, "given_up") == 0


async def test_a_refusal_that_nobody_knows_is_given_up_after_an_hour(
    instances: Instances, channel: FakeConnector, collected: Collected
) -> None:
    refuse(channel, FORBIDDEN, lambda _: True)
    await instances.receive(activities.message(channel.url, TIP))
    await instances.receive(activities.message(channel.url, "What is 2 + 2?"))
    began = channel.clock.now()
    await instances.run()
    assert channel.clock.now() - began > 3600
    assert len(instances.queue.poison) == 2
    for payload in instances.queue.poison:
        await instances.all[0].bot.handle_dead_letter(payload)
    assert deliveries(collected, "given_up") == 2


async def test_a_sign_of_typing_that_is_refused_changes_nothing(turn: Turn) -> None:
    turn.connector.fault_of = lambda _, activity: DELETED if activity["type"] == "typing" else None
    turn.say(9, "one").end(10)
    await turn.show(incoming=activities.web_chat(turn.connector.url), mode=Mode.ONCE)
    assert "typing" in turn.connector.kinds
    assert turn.connector.shown
    assert not turn.connector.sent[-1].path.endswith("/activities")


async def test_what_processes_die_of_again_and_again_is_begun_no_more(instances: Instances, channel: FakeConnector) -> None:
    await instances.receive(activities.message(channel.url, TIP))
    (message,) = instances.queue.messages
    with pytest.raises(Redeliver):
        await instances.all[0].bot.work(message.payload, MAX_FAILURES + 2)
    assert await instances.all[0].store.list_thread_ids(LOCAL_OWNER, limit=1, after=None) == []
    await instances.all[0].bot.handle_dead_letter(message.payload)
    assert channel.texts == [ENGLISH["lost"].format(request_id="req_1")]
