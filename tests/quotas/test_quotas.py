"""Quotas, counted in memory and on a real Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
import time_machine

from errors import RateLimited
from identity.azure_credential import AzureCredential
from models import Owner, utcnow
from quotas.backend import open_quota_backend
from quotas.quotas import Quotas, RequestLimitExceeded
from settings import Settings
from tests.fakes.redis import RedisServer, needs_redis

ANN, BOB, EVE = Owner("acme", "ann"), Owner("acme", "bob"), Owner("other", "eve")


class NewQuotas(Protocol):
    async def __call__(self, **limits: int) -> Quotas: ...


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path) as server:
        yield server


async def quotas_on(stack: AsyncExitStack, url: str | None, **limits: Any) -> Quotas:
    settings = Settings.model_validate({"redis_url": url, **limits})
    return Quotas(settings, await stack.enter_async_context(open_quota_backend(settings, AzureCredential())))


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
async def new_quotas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NewQuotas]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(RedisServer(tmp_path)) if request.param == "redis" else None
        url = server.url if server else None

        async def make(**limits: int) -> Quotas:
            return await quotas_on(stack, url, **limits)

        yield make


async def test_nothing_is_limited_by_default(new_quotas: NewQuotas) -> None:
    quotas = await new_quotas()
    for number in range(50):
        assert await quotas.count_request(ANN) == []
        await quotas.begin_turn(ANN, f"turn_{number}")


async def test_requests_a_minute(new_quotas: NewQuotas) -> None:
    quotas = await new_quotas(limit_requests_per_minute=3, tenant_limit_requests_per_minute=5)
    for left in (2, 1, 0):
        owner, tenant = await quotas.count_request(ANN)
        assert (owner.scope, owner.limit, owner.remaining) == ("owner", 3, left)
        assert (tenant.scope, tenant.limit, tenant.remaining) == ("tenant", 5, left + 2)
        assert 0 < owner.reset_seconds <= 60
    with pytest.raises(RequestLimitExceeded) as refused:
        await quotas.count_request(ANN)
    assert next((window.scope, window.remaining) for window in refused.value.windows) == ("owner", 0)
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 60
    await quotas.count_request(BOB)
    await quotas.count_request(BOB)
    with pytest.raises(RequestLimitExceeded) as refused:
        await quotas.count_request(BOB)
    assert [(window.scope, window.remaining) for window in refused.value.windows] == [("owner", 0), ("tenant", 0)]
    await quotas.count_request(EVE)


async def test_an_owner_over_its_request_limit_uses_nothing_of_its_tenants(new_quotas: NewQuotas) -> None:
    """Audit M2."""
    quotas = await new_quotas(limit_requests_per_minute=1, tenant_limit_requests_per_minute=3)
    await quotas.count_request(ANN)
    for _ in range(5):
        with pytest.raises(RequestLimitExceeded) as refused:
            await quotas.count_request(ANN)
        assert [window.scope for window in refused.value.windows] == ["owner"]
    _, tenant = await quotas.count_request(BOB)
    assert tenant.remaining == 1


async def test_turns_at_once(new_quotas: NewQuotas) -> None:
    quotas = await new_quotas(limit_turns_at_once=2, tenant_limit_turns_at_once=3)
    await quotas.begin_turn(ANN, "a1")
    await quotas.begin_turn(ANN, "a2")
    with pytest.raises(RateLimited, match="2 turns at once of this owner"):
        await quotas.begin_turn(ANN, "a3")
    await quotas.begin_turn(BOB, "b1")
    with pytest.raises(RateLimited, match="3 turns at once of this tenant"):
        await quotas.begin_turn(BOB, "b2")
    local, tenant = await quotas.usage(BOB)
    assert (local.turns_now, tenant.turns_now) == (1, 3)
    await quotas.end_turn(ANN, "a1", tokens=0)
    await quotas.begin_turn(BOB, "b2")
    await quotas.end_turn(ANN, "a1", tokens=0)
    with pytest.raises(RateLimited):
        await quotas.begin_turn(ANN, "a4")


async def test_streams_at_once(new_quotas: NewQuotas) -> None:
    """Audit M5."""
    quotas = await new_quotas(limit_streams_at_once=2)
    await quotas.begin_stream(ANN, "a1")
    await quotas.begin_stream(ANN, "a2")
    with pytest.raises(RateLimited, match="2 streams at once of this owner") as refused:
        await quotas.begin_stream(ANN, "a3")
    assert refused.value.retry_after == 1
    await quotas.begin_stream(BOB, "b1")
    # Turns have places of their own.
    await quotas.begin_turn(ANN, "a1")
    owner, tenant = await quotas.usage(ANN)
    assert (owner.streams_now, tenant.streams_now, owner.turns_now) == (2, 3, 1)
    await quotas.end_stream(ANN, "a3")
    with pytest.raises(RateLimited):
        await quotas.begin_stream(ANN, "a3")
    await quotas.end_stream(ANN, "a1")
    await quotas.begin_stream(ANN, "a3")


async def test_the_streams_of_a_process_that_died_give_their_places_back_later_than_any_stream_lasts(
    new_quotas: NewQuotas,
) -> None:
    """Audit M5: a turn may take its deadline, then its lease, and its reader a while for the last bytes."""
    quotas = await new_quotas(limit_streams_at_once=1, turn_timeout_seconds=100, turn_lease_seconds=30)
    await quotas.begin_stream(ANN, "crashed")
    with time_machine.travel(utcnow() + timedelta(seconds=130 + 180), tick=True), pytest.raises(RateLimited):
        await quotas.begin_stream(ANN, "next")
    with time_machine.travel(utcnow() + timedelta(seconds=130 + 300), tick=True):
        await quotas.begin_stream(ANN, "next")


async def test_many_at_once_never_get_more_places_than_there_are(new_quotas: NewQuotas) -> None:
    quotas = await new_quotas(limit_turns_at_once=5)
    outcomes = await asyncio.gather(*(quotas.begin_turn(ANN, f"t{n}") for n in range(40)), return_exceptions=True)
    assert outcomes.count(None) == 5


async def test_tokens_a_day(new_quotas: NewQuotas) -> None:
    quotas = await new_quotas(limit_tokens_per_day=100, tenant_limit_tokens_per_day=1000)
    await quotas.begin_turn(ANN, "t")
    await quotas.end_turn(ANN, "t", tokens=99)
    await quotas.begin_turn(ANN, "t")
    await quotas.end_turn(ANN, "t", tokens=30)
    with pytest.raises(RateLimited, match="100 tokens a day of this owner") as refused:
        await quotas.begin_turn(ANN, "t")
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 24 * 3600
    local, tenant = await quotas.usage(ANN)
    assert (local.tokens_today, tenant.tokens_today, local.turns_now) == (129, 129, 0)
    await quotas.begin_turn(BOB, "t")


async def test_an_owner_can_be_forgotten(new_quotas: NewQuotas) -> None:
    quotas = await new_quotas(limit_tokens_per_day=100, limit_requests_per_minute=1)
    await quotas.count_request(ANN)
    await quotas.end_turn(ANN, "t", tokens=100)
    await quotas.forget(ANN)
    local, tenant = await quotas.usage(ANN)
    assert (local.tokens_today, local.requests_last_minute, tenant.tokens_today) == (0, 0, 100)
    await quotas.count_request(ANN)
    await quotas.begin_turn(ANN, "t")


async def test_a_conversation_cannot_begin_its_limits_anew(new_quotas: NewQuotas) -> None:
    """Any of its members may take the bot away from it, and add it again."""
    quotas, group = await new_quotas(limit_tokens_per_day=100), Owner("bot:acme", "conversation")
    await quotas.end_turn(group, "t", tokens=100)
    await quotas.forget(group)
    assert (await quotas.usage(group))[0].tokens_today == 100


async def test_counts_end_with_their_time() -> None:
    async with AsyncExitStack() as stack:
        limits = {"limit_tokens_per_day": 1, "limit_turns_at_once": 1, "limit_requests_per_minute": 1}
        quotas = await quotas_on(stack, None, **limits)
        await quotas.count_request(ANN)
        await quotas.begin_turn(ANN, "crashed")
        await quotas.end_turn(ANN, "other", tokens=5)
        with time_machine.travel(utcnow() + timedelta(days=1), tick=True):
            await quotas.count_request(ANN)
            await quotas.begin_turn(ANN, "next")
            assert (await quotas.usage(ANN))[0].tokens_today == 0


@needs_redis
async def test_instances_share_what_they_count(redis: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        limits = {"limit_requests_per_minute": 4, "limit_turns_at_once": 2, "limit_tokens_per_day": 10}
        one, other = [await quotas_on(stack, redis.url, **limits) for _ in range(2)]
        for quotas in (one, other, one, other):
            await quotas.count_request(ANN)
        for quotas in (one, other):
            with pytest.raises(RequestLimitExceeded):
                await quotas.count_request(ANN)
        await one.begin_turn(ANN, "a")
        await other.begin_turn(ANN, "b")
        with pytest.raises(RateLimited):
            await one.begin_turn(ANN, "c")
        await other.end_turn(ANN, "a", tokens=10)
        with pytest.raises(RateLimited, match="10 tokens a day"):
            await one.begin_turn(ANN, "c")


@needs_redis
async def test_without_redis_each_process_counts_for_itself_until_it_is_back(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.model_validate({"redis_url": redis.url, "limit_requests_per_minute": 3})
    async with open_quota_backend(settings, AzureCredential(), cooldown_seconds=0) as backend:
        quotas = Quotas(settings, backend)
        await quotas.count_request(ANN)
        await redis.stop()
        for _ in range(3):
            await quotas.count_request(ANN)
        with pytest.raises(RequestLimitExceeded):
            await quotas.count_request(ANN)
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["Redis cannot be reached"]
        await redis.start()
        [window] = await quotas.count_request(ANN)
        assert window.remaining == 2


@needs_redis
async def test_redis_that_is_down_is_left_alone_for_a_moment(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        quotas = await quotas_on(stack, redis.url, limit_requests_per_minute=100)
        await redis.stop()
        for _ in range(50):
            await quotas.count_request(ANN)
        assert len(caplog.records) == 1


@needs_redis
async def test_a_place_that_was_given_back_while_redis_was_away_is_free_once_it_is_back(redis: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        settings = Settings.model_validate({"redis_url": redis.url, "limit_turns_at_once": 1})
        opening = open_quota_backend(settings, AzureCredential(), cooldown_seconds=0)
        quotas = Quotas(settings, await stack.enter_async_context(opening))
        await quotas.begin_turn(ANN, "before")
        redis.signal(signal.SIGSTOP)
        await quotas.end_turn(ANN, "before", tokens=0)
        await quotas.begin_turn(ANN, "meanwhile")
        redis.signal(signal.SIGCONT)
        await quotas.begin_turn(ANN, "after")
        await quotas.end_turn(ANN, "after", tokens=0)
        # Nor is the other one's place here taken when it goes away again.
        await quotas.end_turn(ANN, "meanwhile", tokens=0)
        await redis.stop()
        await quotas.begin_turn(ANN, "away again")
