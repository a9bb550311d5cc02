"""A turn that could not begin, or was stopped while it began, leaves its thread as it was: a retry stores its message once."""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import Any

import pytest

from cosmos_store import CosmosStore
from errors import StoreUnavailable
from models import Thread
from tests.fakes.cosmos import FakeCosmos
from tests.support.stores import ANN, CosmosBackend, ask, begin, end, messages, states

ENDED = [(1, "user", "completed"), (2, "assistant", "completed")]
# The SDK does not send it again by itself.
FAILURE: dict[str, Any] = {"status": 449, "times": 1000}

pytestmark = pytest.mark.skipif("COSMOS_TEST_ENDPOINT" in os.environ, reason="a real account has no faults to order")


@pytest.fixture
async def thread(store: CosmosStore) -> Thread:
    return await store.create_thread(ANN, title="Sums", metadata={})


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_history_that_cannot_be_read_leaves_no_lease_and_no_message(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, key: str | None
) -> None:
    """Audit M3."""
    fake.fail("query", **FAILURE)
    with pytest.raises(StoreUnavailable):
        await begin(store, thread.id, ask(key=key))
    fake.heal()
    assert await messages(store, thread.id) == []
    turn = await begin(store, thread.id, ask(key=key))
    assert not turn.is_retry
    await end(store, turn)
    assert await states(store, thread.id) == ENDED


async def test_a_second_attempt_that_cannot_begin_leaves_the_message_as_it_was(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    """Audit M3: with the key of a turn that had failed."""
    await end(store, await begin(store, thread.id, ask(key="k")), "failed", content=None)
    before = await messages(store, thread.id)
    fake.fail("query", **FAILURE)
    with pytest.raises(StoreUnavailable):
        await begin(store, thread.id, ask(key="k"))
    fake.heal()
    assert await messages(store, thread.id) == before
    turn = await begin(store, thread.id, ask(key="k"))
    assert turn.is_retry
    await end(store, turn)
    assert await states(store, thread.id) == ENDED


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_lease_whose_answers_were_all_lost_is_given_back(
    store: CosmosStore, fake: FakeCosmos, thread: Thread, key: str | None
) -> None:
    """Audit M3: the lease may have been taken although nobody was told."""
    fake.fail("batch" if key else "patch", status=408, applied=True, times=4)
    with pytest.raises(StoreUnavailable):
        await begin(store, thread.id, ask(key=key))
    await end(store, await begin(store, thread.id, ask(key=key)))
    assert await states(store, thread.id) == ENDED


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_beginning_cancelled_at_any_request_leaves_no_lease(
    backend: CosmosBackend, fake: FakeCosmos, key: str | None
) -> None:
    """Audit M3: a process that stops while a turn begins."""
    for position in itertools.count():
        async with backend.new() as store:
            thread = await store.create_thread(ANN, title=None, metadata={})
            request = fake.fail(None, hold=True, skip=position)
            beginning = asyncio.create_task(begin(store, thread.id, ask(key=key)))
            reached = asyncio.create_task(request.reached.wait())
            await asyncio.wait([beginning, reached], return_when=asyncio.FIRST_COMPLETED)
            stopped = request.reached.is_set()
            beginning.cancel()
            request.released.set()
            reached.cancel()
            await asyncio.gather(beginning, reached, return_exceptions=True)
            fake.heal()
            if not stopped:
                break
            assert beginning.cancelled()
            await end(store, await begin(store, thread.id, ask(key=key)))
            assert await states(store, thread.id) == ENDED
    assert position == 2


async def test_a_beginning_that_failed_takes_no_lease_from_the_turn_that_runs(
    store: CosmosStore, fake: FakeCosmos, thread: Thread
) -> None:
    turn = await begin(store, thread.id)
    fake.fail("patch", status=408, times=4)
    with pytest.raises(StoreUnavailable):
        await begin(store, thread.id, ask("Another"))
    await end(store, turn)
    assert await states(store, thread.id) == ENDED
