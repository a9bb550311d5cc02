"""The Storage queue that keeps accepted activities on Azure until they are answered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueClient

from errors import StoreUnavailable

# Bot Service waits for 10 to 15 seconds.
PUT_SECONDS = 8.0
# Base64 of it is what a queue message may hold: 64 KB, of which an activity leaves some for what its attempts learn.
MAX_BYTES = 48 * 1024 - 256


class ActivityQueue:
    """Puts activities into the queue; the Functions host takes them out."""

    def __init__(self, client: QueueClient) -> None:
        self._client = client

    async def put(self, payload: str, *, delay: float = 0.0) -> None:
        """Store an activity, to be taken out no sooner than after a delay; when this returns, it survives any crash.

        :raises StoreUnavailable: if the queue does not take it.
        """
        try:
            async with asyncio.timeout(PUT_SECONDS):
                # It never expires by itself: after too many attempts it goes to the poison queue.
                await self._client.send_message(payload, time_to_live=-1, visibility_timeout=math.ceil(delay) or None)
        except (AzureError, TimeoutError, OSError) as error:
            raise StoreUnavailable from error


@asynccontextmanager
async def open_queue(url: str, credential: AsyncTokenCredential) -> AsyncIterator[ActivityQueue]:
    """Open the queue at an address: with the signature in it, or else as the app's identity."""
    async with AsyncExitStack() as stack:
        client = QueueClient.from_queue_url(
            url,
            credential=None if urlsplit(url).query else credential,
            message_encode_policy=TextBase64EncodePolicy(),
            connection_timeout=2,
            read_timeout=3,
            retry_total=2,
        )
        yield ActivityQueue(await stack.enter_async_context(client))
