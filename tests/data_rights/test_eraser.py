"""The background work on owners' data: erasures that go on whatever happens, and sweeps for idle threads."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import pytest
import time_machine
from typing_extensions import override

from data_rights import eraser
from data_rights.eraser import Eraser, Forget
from data_rights.retention import HourlyRetention, Retention
from errors import StoreUnavailable, ThreadNotFound
from models import Erasure, Owner, utcnow
from stores.contract import ThreadStore
from stores.types import OwnedRef
from tests.support.calls import Calls, watch
from tests.support.stores import ANN, BOB, Backend, begin

SECONDS = 20
GROUP = Owner("bot:acme", "conversation")


def quick(store: ThreadStore, forget: Sequence[Forget] = ()) -> Eraser:
    return Eraser(store, forget, poll_seconds=0.05, pause_seconds=0.01)


@pytest.fixture
def completions(store: ThreadStore, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return watch(monkeypatch, type(store), "complete_erasure")


async def completed(completions: Calls, store: ThreadStore, erasure_id: str) -> Erasure:
    await completions.returned(True)
    erasure = await store.get_erasure(ANN, erasure_id)
    assert erasure.status == "completed"
    return erasure


async def some_threads(store: ThreadStore, count: int, owner: Owner = ANN) -> None:
    for _ in range(count):
        await store.create_thread(owner, title="Sums", metadata={})


async def test_everything_is_erased_and_then_forgotten(store: ThreadStore, completions: Calls) -> None:
    await some_threads(store, 25)
    forgotten: list[tuple[Owner, int]] = []

    async def forget(owner: Owner) -> None:
        forgotten.append((owner, len(await store.list_thread_ids(owner, limit=10, after=None))))

    async with quick(store, [forget]) as running:
        begun = await running.begin(ANN)
        assert (await running.begin(ANN)).id == begun.id
        assert (await completed(completions, store, begun.id)).threads == 25
        assert forgotten == [(ANN, 0)]
        assert (await running.begin(ANN)).id != begun.id


async def test_an_erasure_that_was_stopped_is_taken_up_by_the_next_process(
    backend: Backend, store: ThreadStore, completions: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_threads(store, 3)
    stopped = asyncio.Event()

    async def forget(owner: Owner) -> None:
        stopped.set()
        await asyncio.Event().wait()

    async with quick(store, [forget]) as running:
        begun = await running.begin(ANN)
        await asyncio.wait_for(stopped.wait(), SECONDS)
    async with backend.new() as other:
        looks = watch(monkeypatch, type(store), "abandoned_erasures")
        async with quick(other):
            await looks.at_least(3)
            assert not any(looks.outcomes)
            assert (await other.get_erasure(ANN, begun.id)).status == "running"
        with time_machine.travel(utcnow() + timedelta(seconds=eraser.STALE_AFTER_SECONDS + 1), tick=True):
            async with quick(other):
                assert (await completed(completions, other, begun.id)).threads == 3


class Failing:
    """Fails some times."""

    def __init__(self, times: int, error: Exception) -> None:
        self._times = times
        self._error = error
        self.calls = 0

    async def __call__(self, owner: Owner) -> None:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error


@pytest.mark.parametrize("error", [StoreUnavailable(), RuntimeError("a bug")])
async def test_failures_are_tried_again(store: ThreadStore, completions: Calls, error: Exception) -> None:
    await some_threads(store, 2)
    forget = Failing(3, error)
    async with quick(store, [forget]) as running:
        begun = await running.begin(ANN)
        assert (await completed(completions, store, begun.id)).threads == 2
    assert forget.calls == 4


class DownStore:
    """A store that nobody can reach; ``calls`` are those of each method."""

    def __init__(self) -> None:
        self.calls: defaultdict[str, Calls] = defaultdict(Calls)

    def __getattr__(self, name: str) -> object:
        async def fail(*args: object, **named: object) -> None:
            raise StoreUnavailable

        return self.calls[name].of(fail)


async def test_a_store_that_is_down_keeps_nobody_from_starting(caplog: pytest.LogCaptureFixture) -> None:
    store = DownStore()
    down: ThreadStore = store  # type: ignore[assignment]
    async with asyncio.timeout(1), quick(down) as running, HourlyRetention(Retention(down, 1)):
        await store.calls["abandoned_erasures"].at_least(3)
        with pytest.raises(StoreUnavailable):
            await running.begin(ANN)
        with pytest.raises(StoreUnavailable):
            await running.resume(wait_seconds=1)
    assert caplog.text.count("listing abandoned erasures failed") >= 2
    assert "the sweep for idle threads failed" in caplog.text


async def test_many_erasures_take_turns(store: ThreadStore, completions: Calls) -> None:
    """A bot that is removed from a team leaves hundreds, which must not crowd out everybody else's requests."""
    begun = 0
    may_go = asyncio.Event()

    async def forget(owner: Owner) -> None:
        nonlocal begun
        begun += 1
        await may_go.wait()

    async with quick(store, [forget]) as running:
        for number in range(25):
            await running.begin(Owner("bot:acme", str(number)))
        await running.resume(wait_seconds=0.2)
        assert begun <= eraser.ERASURES_AT_ONCE
        may_go.set()
        await completions.at_least(25)
    assert (begun, completions.outcomes) == (25, [True] * 25)


async def test_waiting_for_erasures_has_an_end_and_stops_none(store: ThreadStore, completions: Calls) -> None:
    may_go = asyncio.Event()

    async def forget(owner: Owner) -> None:
        await may_go.wait()

    async with quick(store, [forget]) as running:
        begun = await running.begin(ANN)
        await running.resume(wait_seconds=0.1)
        may_go.set()
        assert (await completed(completions, store, begun.id)).threads == 0
        await running.resume(wait_seconds=0)


# Retention


@pytest.mark.parametrize(("days", "bot_days", "left"), [(0, 10, [ANN]), (10, 40, [GROUP]), (10, 0, []), (40, 10, [ANN])])
async def test_conversations_of_the_bot_have_a_retention_of_their_own(
    store: ThreadStore, days: int, bot_days: int, left: list[Owner]
) -> None:
    for owner in (ANN, GROUP):
        await store.create_thread(owner, title=None, metadata={})
    with time_machine.travel(utcnow() + timedelta(days=30), tick=True):
        assert await Retention(store, days, bot_days=bot_days).sweep() == 2 - len(left)
    assert [owner for owner in (ANN, GROUP) if await store.list_thread_ids(owner, limit=9, after=None)] == left


async def test_a_sweep_deletes_idle_threads_and_no_others(store: ThreadStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "data_rights.retention")
    await some_threads(store, 7)
    waking = await store.create_thread(ANN, title="Sums", metadata={})
    await some_threads(store, 2, BOB)
    with time_machine.travel(utcnow() + timedelta(days=30, minutes=1), tick=True):
        await begin(store, waking.id)
        new = await store.create_thread(ANN, title="Sums", metadata={})
        assert await Retention(store, 31).sweep() == 0
        assert await Retention(store, 0).sweep() == 0
        assert await Retention(store, 30, threads_at_once=3).sweep() == 9
        assert sorted(await store.list_thread_ids(ANN, limit=10, after=None)) == sorted([waking.id, new.id])
        assert await Retention(store, 30).sweep() == 0
    assert [record.getMessage() for record in caplog.records] == ["9 threads deleted in which nothing happened for 30 days"]


class Stubborn(DownStore):
    """A store that shows the same threads again and again, although they cannot be deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def idle_threads(self, **_: object) -> list[OwnedRef]:
        self.looks += 1
        return [OwnedRef(ANN, "thread_1"), OwnedRef(ANN, "thread_2")]

    async def delete_thread(self, owner: Owner, id: str, **_: object) -> bool:
        if id == "thread_1":
            raise ThreadNotFound(id)
        return False


class Endless(Stubborn):
    """A store that never runs out of idle threads, and takes a second to delete one."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def now(self) -> float:
        return self.time

    @override
    async def delete_thread(self, owner: Owner, id: str, **_: object) -> bool:
        self.time += 1
        return True


async def test_a_sweep_ends_when_nothing_can_be_deleted() -> None:
    stubborn = Stubborn()
    assert await Retention(stubborn, 1).sweep() == 0  # type: ignore[arg-type]
    assert stubborn.looks == 1


async def test_a_sweep_ends_in_time() -> None:
    endless = Endless()
    assert await Retention(endless, 1, sweep_seconds=3, now=endless.now).sweep() == 3  # type: ignore[arg-type]


async def test_the_local_task_sweeps_at_once_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps = watch(monkeypatch, Retention, "sweep")
    async with HourlyRetention(Retention(Stubborn(), 1), every_seconds=0.05):  # type: ignore[arg-type]
        await sweeps.at_least(3)
