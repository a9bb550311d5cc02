"""Readiness by itself: who is asked when, and who waits how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing

import pytest

from services.intervals import Intervals
from services.readiness import Readiness, ReadinessCheck

NewReadiness = Callable[..., Awaitable[Readiness]]


class Service:
    """Something to ask: counts the questions, fails or hangs when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.answering = asyncio.Event()
        self.answering.set()

    async def probe(self) -> None:
        self.asked += 1
        await self.answering.wait()
        if self.error:
            raise self.error


@pytest.fixture
async def new() -> AsyncIterator[NewReadiness]:
    async with AsyncExitStack() as stack:

        async def new(*parts: ReadinessCheck, wait_seconds: float = 5) -> Readiness:
            return await stack.enter_async_context(aclosing(Readiness(parts, wait_seconds=wait_seconds)))

        yield new


async def test_callers_at_once_and_soon_after_share_one_question(new: NewReadiness) -> None:
    service = Service()
    service.answering.clear()
    ready = await new(ReadinessCheck("store", service.probe, seconds=5))
    callers = [asyncio.create_task(ready.failures()) for _ in range(50)]
    await asyncio.sleep(0)
    service.answering.set()
    assert await asyncio.gather(*callers) == [[]] * 50
    assert await ready.failures() == []
    assert service.asked == 1


@pytest.mark.parametrize("error", [None, ValueError("secret")])
async def test_an_answer_counts_for_its_seconds(new: NewReadiness, error: Exception | None) -> None:
    now = 0.0
    service, slow = Service(), Service()
    service.error = slow.error = error
    ready = await new(
        ReadinessCheck("store", service.probe, seconds=5, clock=lambda: now),
        ReadinessCheck("model", slow.probe, seconds=60, clock=lambda: now),
    )
    for _ in range(24):
        await ready.failures()
        await ready.failures()
        now += 5
    assert (service.asked, slow.asked) == (24, 2)


async def test_parts_that_fail_are_named_until_they_work(new: NewReadiness, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = Service(), Service(), Service()
    second.error, third.error = ConnectionError("refused by 10.0.0.4"), TimeoutError()
    ready = await new(
        ReadinessCheck("first", first.probe, seconds=5),
        ReadinessCheck("second", second.probe, seconds=0),
        ReadinessCheck("third", third.probe, seconds=0),
    )
    assert await ready.failures() == ["second", "third"]
    assert "not ready: second" in caplog.text
    assert "ConnectionError" in caplog.text
    second.error = None
    assert await ready.failures() == ["third"]
    third.error = None
    assert await ready.failures() == []
    assert ready.parts == ["first", "second", "third"]


async def test_nobody_waits_for_a_part_that_hangs_and_its_answer_is_not_lost(new: NewReadiness) -> None:
    hanging, working = Service(), Service()
    hanging.answering.clear()
    checks = ReadinessCheck("store", hanging.probe, seconds=60), ReadinessCheck("model", working.probe, seconds=60)
    ready = await new(*checks, wait_seconds=0.02)
    started = time.perf_counter()
    assert await asyncio.gather(*(ready.failures() for _ in range(10))) == [["store"]] * 10
    assert await ready.failures() == ["store"]
    assert time.perf_counter() - started < 1
    hanging.answering.set()
    assert await (await new(*checks)).failures() == []
    assert await ready.failures() == []
    assert (hanging.asked, working.asked) == (1, 1)


async def test_the_first_caller_to_leave_does_not_take_the_question_along(new: NewReadiness) -> None:
    service = Service()
    service.answering.clear()
    ready = await new(ReadinessCheck("store", service.probe, seconds=5))
    first, second = asyncio.create_task(ready.failures()), asyncio.create_task(ready.failures())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    service.answering.set()
    assert await second == []
    assert service.asked == 1


async def test_closing_ends_a_question_that_hangs() -> None:
    service = Service()
    service.answering.clear()
    part = ReadinessCheck("store", service.probe, seconds=5)
    pending_probe = part.pending_probe()
    await asyncio.sleep(0)
    await Readiness([part], wait_seconds=5).aclose()
    assert pending_probe.cancelled()


def test_the_wait_is_bounded_to_two_seconds() -> None:
    assert Intervals().ready_wait == 2
    assert Intervals().model_fresh >= 60
