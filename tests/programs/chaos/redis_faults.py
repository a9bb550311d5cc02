"""The Redis of a run, on which quotas are counted: it goes and comes back empty, or hangs for a while."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fakes.redis import SERVER, RedisServer
from tests.programs.chaos.plan import Plan

# So many that a run counts on them and never meets them: what a killed process held is counted until a turn's deadline.
LIMITS = {"LIMIT_REQUESTS_PER_MINUTE": "100000", "LIMIT_TURNS_AT_ONCE": "1000", "LIMIT_TOKENS_PER_DAY": "1000000000"}


@asynccontextmanager
async def open_redis(folder: Path) -> AsyncIterator[RedisServer | None]:
    """Run a Redis meanwhile, where there is one."""
    if SERVER is None:
        print("  no redis-server here: quotas are counted in memory")
        yield None
        return
    async with RedisServer(folder) as redis:
        yield redis


def environment(redis: RedisServer | None) -> dict[str, str]:
    """Return the servers' settings for quotas."""
    return LIMITS | ({"REDIS_URL": redis.url} if redis else {})


async def disturb(redis: RedisServer | None, plan: Plan) -> None:
    """Stop and freeze Redis now and then until cancelled; then let it run."""
    chance = plan.random("redis")
    while redis:
        await asyncio.sleep(chance.uniform(2, 8))
        seconds = chance.uniform(0.2, 4)
        if chance.random() < 0.5:
            plan.inject("redis: gone and back")
            await redis.stop()
            await asyncio.sleep(seconds)
            await redis.start()
        else:
            plan.inject("redis: frozen")
            redis.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                redis.signal(signal.SIGCONT)
