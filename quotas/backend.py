"""Where quotas are counted: in this process, or on Redis for all instances; while Redis is down, in this process again."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from identity.azure_credential import AzureCredential
from quotas.redis_client import COOLDOWN_SECONDS, REDIS_SECONDS, Cooldown, open_redis
from settings import Settings

if TYPE_CHECKING:
    from limits.aio.storage import Storage
    from limits.aio.strategies import SlidingWindowCounterRateLimiter
    from redis.asyncio import Redis

R = TypeVar("R")
# What could not be given back is forgotten in time anyway.
MAX_OWED = 10_000


class ConcurrencyLimiter(Protocol):
    """Who is doing something at this moment; a holder that never leaves is forgotten in time."""

    async def enter(self, key: str, holder: str, *, limit: int, seconds: float) -> bool:
        """Let a holder in for at most ``seconds``; return ``False`` if ``limit`` (0: none) others are there already."""

    async def leave(self, key: str, holder: str) -> None:
        """Let a holder out."""

    async def count(self, key: str) -> int:
        """Return how many are there."""


class MemorySlots(ConcurrencyLimiter):
    """:class:`ConcurrencyLimiter` of this process."""

    def __init__(self) -> None:
        self._holders: dict[str, dict[str, float]] = defaultdict(dict)

    async def enter(self, key: str, holder: str, *, limit: int, seconds: float) -> bool:
        """Let a holder in, if there is room."""
        holders = self._alive(key)
        if limit and len(holders) >= limit:
            return False
        self._holders[key][holder] = time.time() + seconds
        return True

    async def leave(self, key: str, holder: str) -> None:
        """Let a holder out."""
        holders = self._holders.get(key, {})
        holders.pop(holder, None)
        if not holders:
            self._holders.pop(key, None)

    async def count(self, key: str) -> int:
        """Return how many are there."""
        return len(self._alive(key))

    def _alive(self, key: str) -> dict[str, float]:
        holders = self._holders.get(key, {})
        now = time.time()
        for holder in [each for each, until in holders.items() if until <= now]:
            del holders[holder]
        return holders


class RedisSlots(ConcurrencyLimiter):
    """:class:`ConcurrencyLimiter` of all instances: a sorted set a key, by the time at which each holder is forgotten."""

    _ENTER = """
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
    local limit = tonumber(ARGV[4])
    if limit > 0 and redis.call('ZCARD', KEYS[1]) >= limit then return 0 end
    redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
    redis.call('EXPIREAT', KEYS[1], math.ceil(ARGV[2]) + 1, 'NX')
    redis.call('EXPIREAT', KEYS[1], math.ceil(ARGV[2]) + 1, 'GT')
    return 1
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._enter: Any = redis.register_script(self._ENTER)

    async def enter(self, key: str, holder: str, *, limit: int, seconds: float) -> bool:
        """Let a holder in, if there is room."""
        now = time.time()
        return bool(await self._enter(keys=[key], args=[now, now + seconds, holder, limit]))

    async def leave(self, key: str, holder: str) -> None:
        """Let a holder out."""
        await self._redis.zrem(key, holder)

    async def count(self, key: str) -> int:
        """Return how many are there."""
        count: int = await self._redis.zcount(key, time.time(), "+inf")
        return count


class Counters:
    """One place where quotas are counted. What counts requests is imported with the first one that is counted."""

    def __init__(self, open_storage: Callable[[], Storage], slots: ConcurrencyLimiter) -> None:
        self._open_storage = open_storage
        self.slots = slots

    @cached_property
    def storage(self) -> Storage:
        """Where numbers are kept."""
        return self._open_storage()

    @cached_property
    def windows(self) -> SlidingWindowCounterRateLimiter:
        """What counts the requests of a minute."""
        from limits.aio.strategies import SlidingWindowCounterRateLimiter

        return SlidingWindowCounterRateLimiter(self.storage)

    @classmethod
    def in_memory(cls) -> Counters:
        """Count in this process."""
        return cls(_memory_storage, MemorySlots())

    @classmethod
    def on_redis(cls, redis: Redis, url: str) -> Counters:
        """Count for all instances."""

        def open_storage() -> Storage:
            from limits.aio.storage import RedisStorage

            pool: Any = redis.connection_pool
            return RedisStorage(f"async+{url}", implementation="redispy", connection_pool=pool)

        return cls(open_storage, RedisSlots(redis))


def _memory_storage() -> Storage:
    from limits.aio.storage import MemoryStorage

    return MemoryStorage()


class QuotaBackend:
    """Runs what is to be counted on the shared counters, and on this process's own while those cannot be had."""

    def __init__(
        self,
        local: Counters,
        shared: Counters | None = None,
        redis: Redis | None = None,
        *,
        cooldown_seconds: float = COOLDOWN_SECONDS,
    ) -> None:
        self._cooldown = Cooldown("quotas are counted by each process for itself", cooldown_seconds)
        self._local = local
        self._shared = shared
        self._redis = redis
        # What is still to be given back on Redis, in order.
        self._owed: deque[Callable[[Counters], Awaitable[None]]] = deque(maxlen=MAX_OWED)

    async def run(self, do: Callable[[Counters], Awaitable[R]]) -> R:
        """Return what ``do`` returns; never fails because Redis is away."""
        if self._shared and self._cooldown.is_over:
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    await self._settle(self._shared)
                    return await do(self._shared)
            except Exception:  # noqa: BLE001 - whatever is wrong with Redis must not keep anybody from chatting
                self._cooldown.begin()
        return await do(self._local)

    async def give_back(self, do: Callable[[Counters], Awaitable[None]]) -> None:
        """Do what gives back what :meth:`run` has taken, wherever that was: on Redis as soon as it can be had."""
        await do(self._local)
        if self._shared:
            self._owed.append(do)
            await self.run(_nothing)

    async def _settle(self, shared: Counters) -> None:
        while self._owed:
            do = self._owed.popleft()
            try:
                await do(shared)
            except BaseException:
                # Done twice does no harm.
                self._owed.appendleft(do)
                raise

    async def ping(self) -> None:
        """Ping Redis, if all instances count there.

        :raises RedisError, OSError, TimeoutError: if it gives none; quotas are counted by each process for itself then.
        """
        if self._redis:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._redis.ping()


async def _nothing(_: Counters) -> None:
    return


@asynccontextmanager
async def open_quota_backend(
    settings: Settings, credential: AzureCredential, *, cooldown_seconds: float = COOLDOWN_SECONDS
) -> AsyncIterator[QuotaBackend]:
    """Open the counters: on Redis if there is an address, else in memory. Redis need not be up."""
    async with open_redis(settings, credential) as redis:
        if redis is None or settings.redis_url is None:
            yield QuotaBackend(Counters.in_memory())
        else:
            shared = Counters.on_redis(redis, settings.redis_url.get_secret_value())
            yield QuotaBackend(Counters.in_memory(), shared, redis, cooldown_seconds=cooldown_seconds)
