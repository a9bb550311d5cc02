"""An instance that dies at any point, whatever it does then: each message is stored once, and answered."""

from __future__ import annotations

import re
from typing import Any

import pytest

from errors import StoreUnavailable
from settings import Settings
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.bot import asked
from tests.support.instances import Fate, open_instances
from tests.support.positions import every_position

# What two messages take of the store, the channel and the queue, and one more.
POSITIONS = 30


@pytest.mark.parametrize("position", every_position(range(POSITIONS)))
async def test_whenever_an_instance_dies_each_message_is_stored_once_and_answered(
    settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    await check(settings, channel, monkeypatch, Fate(position))


@pytest.mark.parametrize(
    "position", [3, 15, 21, *(pytest.param(each, marks=pytest.mark.long) for each in range(1, POSITIONS, 2))]
)
@pytest.mark.parametrize("stands_still", [False, True])
async def test_an_instance_that_is_cut_off_for_minutes_does_no_harm(
    settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch, position: int, *, stands_still: bool
) -> None:
    fate = Fate(position, clock=channel.clock, seconds=150, stands_still=stands_still)
    await check(settings, channel, monkeypatch, fate)


async def check(settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch, mortal: Fate) -> None:
    sent = [activities.message(channel.url, f"What is {number} + 100?") for number in range(3)]
    short = settings.model_copy(update={"turn_lease_seconds": 1})
    async with open_instances(short, channel, monkeypatch, mortal, Fate()) as instances:

        async def receive(activity: dict[str, Any], first: int) -> None:
            try:
                await instances.receive(activity, first)
            except StoreUnavailable:
                # Bot Service delivers again what was not accepted.
                await instances.receive(activity, 1)

        for number, each in enumerate(sent):
            await receive(each, number % 2)
        began = channel.clock.now()
        await instances.run()
        assert channel.clock.now() - began < 1000
        assert instances.queue.poison == []
    # What a dead instance has begun to show may stay as it is.
    whole = [int(found[1]) - 100 for text in channel.texts if (found := re.search(r"= (\d+)$", text))]
    assert sorted(set(whole)) == [0, 1, 2]
    # An instance that dies between sending an answer and remembering it leaves it to be sent again.
    assert len(whole) <= 4, [(each.kind, each.status, each.activity.get("text")) for each in channel.sent]
    stored = await asked(settings)
    assert sorted(stored) == [each["text"] for each in sent]
