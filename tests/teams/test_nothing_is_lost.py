"""Many turns in a channel that fails at random: every answer is there in the end, whatever happened to each send."""

from __future__ import annotations

import random

import pytest

from models import Message
from teams.channel_rules import Mode
from teams.connector import Adapter
from tests.fakes import activities
from tests.fakes.connector import (
    BROKEN,
    BUSY,
    DROP,
    DROP_AFTER,
    NOT_ALLOWED,
    TIMED_OUT,
    FakeClock,
    FakeConnector,
    Fault,
)
from tests.teams.conftest import Turn

FAULTS = [BUSY, Fault(429), Fault(429, {"Retry-After": "20"}), BROKEN, Fault(500), DROP, DROP_AFTER, Fault(seconds=4)]


@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
async def test_nothing_is_lost(adapter: Adapter, seed: int, long: bool) -> None:
    """Twice 120 turns, four times 250 with ``--long``; each run has its own faults, and the same ones every time."""
    turns = 250 if long else 120
    chance = random.Random(seed)
    faulty = 0
    for number in range(turns):
        clock = FakeClock()
        async with FakeConnector(clock) as connector:
            faults = [chance.choice(FAULTS) if chance.random() < 0.35 else None for _ in range(12)]
            if chance.random() < 0.1:
                faults[chance.randrange(4)] = chance.choice([NOT_ALLOWED, TIMED_OUT])
            connector.faults = list(faults)
            faulty += any(faults)
            turn = Turn(adapter, connector, clock)
            at = 0.0
            for piece in range(chance.randrange(1, 8)):
                at += chance.choice([0.01, 0.3, 2.0, 5.0, 30.0])
                turn.say(at, f"{number}.{piece} ")
            turn.end(at + chance.random())
            mode = chance.choice([Mode.STREAM, Mode.STREAM, Mode.UPDATE, Mode.ONCE])
            make = activities.group_message if mode is Mode.UPDATE else activities.message
            outcome = await turn.show(incoming=make(connector.url, "hi"), mode=mode)
            assert isinstance(outcome.result, Message)
            assert turn.said in connector.texts, (seed, number, connector.kinds)
            assert connector.shown[next(reversed(connector.shown))]["text"] == turn.said
            assert not [each for each in connector.sent if each.status == 400], (seed, number)
    assert faulty > turns * 0.8
