"""The client of the Redis that all instances share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from identity.azure_credential import AzureCredential
from settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

REDIS_SECONDS = 1.0
# After a failure, Redis is left alone for so long: callers must not wait for it one by one.
COOLDOWN_SECONDS = 1.0
LOG_SECONDS = 60.0
logger = logging.getLogger(__name__)


class Cooldown:
    """Leaves Redis alone for a moment after a failure. ``meanwhile`` says in the log what is done without it."""

    def __init__(self, meanwhile: str, seconds: float = COOLDOWN_SECONDS) -> None:
        self._meanwhile = meanwhile
        self._seconds = seconds
        self._until = float("-inf")
        self._logged_at = float("-inf")

    @property
    def is_over(self) -> bool:
        """Whether Redis may be asked."""
        return time.monotonic() >= self._until

    def begin(self) -> None:
        """Note a failure: call it where the exception is handled."""
        now = time.monotonic()
        self._until = now + self._seconds
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            logger.warning("Redis cannot be reached: %s", self._meanwhile, exc_info=True)


@asynccontextmanager
async def open_redis(settings: Settings, credential: AzureCredential) -> AsyncIterator[Redis | None]:
    """Open a client, if there is an address. Redis need not be up.

    On Azure an address with TLS and without a password means the app's identity.
    """
    if settings.redis_url is None:
        yield None
        return
    redis = await asyncio.to_thread(_load_redis, settings.redis_url.get_secret_value(), settings, credential)
    try:
        yield redis
    finally:
        await redis.aclose()


def _load_redis(address: str, settings: Settings, credential: AzureCredential) -> Redis:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    from quotas.redis_identity import EntraCredentials

    return Redis.from_url(
        address,
        credential_provider=EntraCredentials(credential) if settings.redis_takes_identity else None,
        # Once, on a new connection: Redis closes those whose token has expired.
        retry=Retry(NoBackoff(), 1),
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
    )
