"""What goes out to Teams when the channel refuses, throttles or breaks, and when the turn itself fails."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from models import Citation, Message, Problem
from teams.channel_rules import PACE_SECONDS, Mode
from teams.sender import ATTEMPTS, NotSent, Reason
from tests.fakes import activities
from tests.fakes.connector import (
    BROKEN,
    BUSY,
    DROP,
    DROP_AFTER,
    NOT_ALLOWED,
    REMOVED,
    STOPPED,
    TIMED_OUT,
    FakeConnector,
    Fault,
)
from tests.teams.conftest import Turn, answer

RETURNS = Citation(
    index=1, id="kb-1", title="Returns " * 20, url="https://shop.example/returns", snippet="Within 30 days. " * 20
)


@pytest.mark.parametrize("fault", [BUSY, BROKEN, DROP, DROP_AFTER, Fault(429), Fault(503, {"Retry-After": "1"})])
@pytest.mark.parametrize("at", range(4))
async def test_a_failure_at_any_send_loses_nothing(turn: Turn, fault: Fault, at: int) -> None:
    turn.connector.faults = [None] * at + [fault]
    turn.call(0, "calculate", {"expression": "1 + 1"}).say(2, "The answer ").say(5, "is two.").end(8)
    outcome = await turn.show()
    assert isinstance(outcome.result, Message)
    assert turn.connector.texts == ["The answer is two."]


async def test_what_retry_after_says_is_waited_for(turn: Turn) -> None:
    turn.connector.faults = [None, Fault(429, {"Retry-After": "17"}), Fault(429, {"Retry-After": "9"})]
    turn.say(0, "one ").say(3, "two ").say(25, "three").end(30)
    await turn.show()
    times = [each.at - 1000 for each in turn.connector.sent]
    assert times == [0, 3, 20, 29, 30.5]
    assert turn.connector.texts == ["one two three"]


async def test_a_final_message_that_is_throttled_is_sent_again(turn: Turn) -> None:
    turn.connector.faults = [None, BUSY, Fault(429, {"Retry-After": "11"}), DROP]
    turn.say(0, "one ").end(1)
    await turn.show()
    assert turn.connector.kinds[-1] == "final"
    assert [each.at - 1000 for each in turn.connector.sent] == [0, 1.5, 3.5, 14.5, 18.5]
    assert turn.connector.texts == ["one "]


async def test_stop_cancels_the_turn_and_nothing_more_is_sent(turn: Turn) -> None:
    turn.connector.faults = [None, STOPPED]
    turn.say(0, "one ").say(2, "two ").say(200, "three").end(300)
    outcome = await turn.show()
    assert turn.cancelled == 1
    assert isinstance(outcome.result, Message)
    assert outcome.result.status == "cancelled"
    assert turn.connector.kinds == ["streaming", "streaming"]


async def test_stop_at_the_very_end_is_no_failure(turn: Turn) -> None:
    turn.connector.faults = [None, STOPPED]
    turn.say(0, "one ").end(1)
    await turn.show()
    assert turn.connector.kinds == ["streaming", "final"]


@pytest.mark.parametrize("fault", [NOT_ALLOWED, TIMED_OUT, Fault(400)])
@pytest.mark.parametrize("at", range(3))
async def test_what_may_not_be_streamed_is_a_message(turn: Turn, fault: Fault, at: int) -> None:
    turn.connector.faults = [None] * at + [fault]
    turn.say(0, "one ").say(2, "two ").say(9, "three [1]").end(10, citations=[RETURNS])
    await turn.show()
    assert turn.cancelled == 0
    assert turn.connector.texts[-1] == "one two three [1]"
    assert turn.connector.sent[-1].activity["entities"][-1]["citation"]


async def test_a_conversation_that_is_gone_ends_no_turn(turn: Turn) -> None:
    turn.connector.faults = [None] + [REMOVED] * 20
    turn.say(0, "one ").say(2, "two ").end(10)
    showing = asyncio.create_task(turn.show())
    await turn.connector.until(lambda: len(turn.connector.sent) == 2)
    # Nothing waits on the clock any more once nobody can be told.
    turn.log.end(answer(turn.said))
    outcome = await showing
    assert isinstance(outcome.result, Message)
    assert outcome.activity_id == ""


async def test_a_failed_turn_is_told_kindly_below_what_was_said(turn: Turn) -> None:
    turn.say(0, "Well, ").fail(2, "model_unavailable")
    outcome = await turn.show()
    assert isinstance(outcome.result, Problem)
    assert turn.connector.texts == [
        "Well, \n\nSorry, something went wrong. Your message is kept; please try again. (Reference: req_1)"
    ]


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("problem", ["turn_interrupted", "store_unavailable"])
async def test_a_turn_that_will_be_repeated_is_no_failure_to_tell(turn: Turn, problem: str, *, repeated: bool) -> None:
    turn.fail(1, problem)
    await turn.show(repeats_failures=repeated)
    assert len(turn.connector.shown) == (0 if repeated else 1)


async def test_a_final_message_that_is_refused_comes_without_its_ornaments(turn: Turn, connector: FakeConnector) -> None:
    connector.faults = [None, Fault(400), Fault(400)]
    turn.say(0, "one").end(3, citations=[RETURNS])
    await turn.show()
    assert connector.texts == ["one"]
    assert "entities" not in connector.sent[-1].activity


async def test_a_channel_that_takes_nothing_is_left_alone_until_a_later_attempt(turn: Turn) -> None:
    turn.connector.faults = [None] + [BROKEN] * 20
    turn.say(0, "one").end(1)
    with pytest.raises(NotSent) as caught:
        await turn.show()
    assert caught.value.reason is Reason.BUSY
    assert turn.connector.kinds == ["streaming"] + ["final"] * ATTEMPTS


@pytest.mark.parametrize(
    "fault", [NOT_ALLOWED, TIMED_OUT, Fault(400), Fault(413), BUSY, DROP, DROP_AFTER, Fault(429, {"Retry-After": "0"})]
)
@pytest.mark.parametrize("mode", [Mode.STREAM, Mode.UPDATE])
async def test_whatever_is_refused_the_channel_is_asked_no_faster(turn: Turn, fault: Fault, mode: Mode) -> None:
    incoming = activities.message(turn.connector.url)
    if mode is Mode.UPDATE:
        incoming = activities.group_message(turn.connector.url, "hi")
    turn.connector.faults = [None, None, None, fault, fault]
    turn.call(0, "calculate", {"expression": "1 + 1"}).result(0.5, "calculate", 2)
    turn.say(2, "one ").say(4, "two ").say(9, "three [1]").end(10, citations=[RETURNS])
    await turn.show(incoming=incoming, mode=mode)
    assert "three" in turn.connector.texts[-1] or "three" in turn.connector.texts[-2]
    # On a kept connection that is closed, the HTTP client itself asks again at once.
    times = [each.at for each in turn.connector.sent if each.kind != "typing" and each.status]
    assert min(later - earlier for earlier, later in pairwise(times)) >= PACE_SECONDS
