"""The client of the Redis that all instances share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from identity.azure_credential import AzureCredential
from settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

REDIS_SECONDS = 1.0


@asynccontextmanager
async def open_redis(settings: Settings, credential: AzureCredential) -> AsyncIterator[Redis | None]:
    """Open a client, if there is an address. Redis need not be up.

    On Azure an address with TLS and without a password means the app's identity.
    """
    if settings.redis_url is None:
        yield None
        return
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    from quotas.redis_identity import EntraCredentials

    redis = Redis.from_url(
        settings.redis_url.get_secret_value(),
        credential_provider=EntraCredentials(credential) if settings.redis_takes_identity else None,
        # Once, on a new connection: Redis closes those whose token has expired.
        retry=Retry(NoBackoff(), 1),
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
    )
    try:
        yield redis
    finally:
        await redis.aclose()
