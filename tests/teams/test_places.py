"""Places in the order of a conversation, one by one: who holds them, and who loses them."""

from __future__ import annotations

from typing import Any

import pytest

from identity.authenticator import LOCAL_OWNER
from settings import Settings
from stores.contract import ThreadStore
from teams.activity import Incoming, parse_activity, to_incoming
from teams.clock import Clock
from teams.conversation_state import MAX_TICKETS, ConversationStates
from teams.order import DEAD_SECONDS, NOTHING_SEEN, ConversationOrder, Standing, Watch
from tests.fakes import activities

LOCAL = Settings(teams_local=True)


def message(second: int = 0, **changes: Any) -> Incoming:
    at = f"2026-01-01T10:30:{second:02}.5Z"
    return to_incoming(parse_activity(activities.message("http://127.0.0.1:9/", timestamp=at, **changes)), LOCAL)


@pytest.fixture
def order(store: ThreadStore) -> ConversationOrder:
    return ConversationOrder(ConversationStates(store), Clock())


async def looked(order: ConversationOrder, incoming: Incoming, seconds: float) -> Standing:
    """Look again and again, for so many seconds that pass for whoever waits."""
    standing = await order.enter(incoming, "waiting", NOTHING_SEEN)
    waited = 0.0
    while standing.ahead and waited < seconds:
        waited += standing.look_in
        standing = await order.enter(incoming, "waiting", standing.watch)
    return standing


async def test_nobody_goes_before_what_was_begun(order: ConversationOrder) -> None:
    begun, earlier, later = message(10), message(5), message(20)
    await order.join(later)
    await order.join(begun)
    assert (await order.enter(begun, "w1", NOTHING_SEEN)).ahead == 0
    await order.join(earlier)
    assert (await order.enter(earlier, "w2", NOTHING_SEEN)).ahead == 1
    assert (await order.enter(later, "w3", NOTHING_SEEN)).ahead == 2
    await order.leave(begun, done=True)
    assert (await order.enter(begun, "w1", NOTHING_SEEN)).is_done
    assert (await order.enter(later, "w3", NOTHING_SEEN)).ahead == 1
    assert (await order.enter(earlier, "w2", NOTHING_SEEN)).ahead == 0


async def test_one_attempt_at_a_time(order: ConversationOrder) -> None:
    one = message()
    assert (await order.enter(one, "w1", NOTHING_SEEN)).ahead == 0
    assert (await order.enter(one, "w2", NOTHING_SEEN)).ahead == 1
    await order.release(one, "w2")
    assert (await order.enter(one, "w2", NOTHING_SEEN)).ahead == 1
    await order.release(one, "w1")
    assert (await order.enter(one, "w2", NOTHING_SEEN)).ahead == 0


async def test_who_shows_no_sign_of_life_is_passed_over_and_who_does_is_not(order: ConversationOrder) -> None:
    first, second = message(1), message(2)
    await order.enter(first, "w1", NOTHING_SEEN)
    assert (await looked(order, second, DEAD_SECONDS - 1)).ahead == 1
    await order.release(first, "w1")
    # What was seen before counts no more.
    stale = Watch("something else", 1000.0)
    assert (await order.enter(second, "w2", stale)).ahead == 1
    assert (await looked(order, second, DEAD_SECONDS + 2)).ahead == 0
    # It takes a place behind, as long as it is not done.
    assert (await order.enter(first, "w1", NOTHING_SEEN)).ahead == 1


async def test_a_dead_attempt_keeps_the_next_one_at_the_same_message_no_longer_than_others(order: ConversationOrder) -> None:
    one = message()
    await order.enter(one, "dead", NOTHING_SEEN)
    assert (await looked(order, one, DEAD_SECONDS - 1)).ahead == 1
    assert (await looked(order, one, DEAD_SECONDS + 2)).ahead == 0


async def test_the_places_have_an_end_which_is_no_end_for_a_message(order: ConversationOrder, store: ThreadStore) -> None:
    many = [message(number) for number in range(MAX_TICKETS + 2)]
    for each in many:
        await order.join(each)
    kept, _ = await ConversationStates(store).get(LOCAL_OWNER)
    assert len(kept.tickets) == MAX_TICKETS
    assert (await order.enter(many[-1], "w", NOTHING_SEEN)).ahead == MAX_TICKETS
    other = message(conversation={"id": "a:2", "conversationType": "personal", "tenantId": activities.TENANT})
    assert (await order.enter(other, "w", NOTHING_SEEN)).ahead == 0
    for each in many[:-1]:
        await order.leave(each, done=True)
    assert (await order.enter(many[-1], "w", NOTHING_SEEN)).ahead == 0
