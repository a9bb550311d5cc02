"""The latest messages of threads on Redis, for all instances: as little to be trusted as those of the process.

Redis may be away, empty or late. Then the store is read, as if there were none.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from models import Message
from quotas.redis_client import COOLDOWN_SECONDS, Cooldown
from records import Record
from stores.cosmos.recent import MAX_SECONDS, Window, size_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")
# The lease's write takes about as long: nobody should wait longer for what only spares a query.
REDIS_SECONDS = 0.25
# What a release that knows other fields has written would lack some, or bring some that are not known.
PREFIX = f"recent:{zlib.crc32(repr(sorted(Message.model_fields)).encode()):08x}:"
logger = logging.getLogger(__name__)


class SharedWindow(Record):
    """A :class:`~stores.cosmos.recent.Window` as it stands on Redis."""

    owner_hash: str
    created_at: datetime
    rev: int
    last_seq: int
    limit: int
    read_at: float
    messages: tuple[Message, ...]


class SharedRecent:
    """Windows on Redis; without ``redis`` there are none. No method fails because Redis is away."""

    def __init__(
        self,
        redis: Redis | None = None,
        *,
        timeout_seconds: float = REDIS_SECONDS,
        cooldown_seconds: float = COOLDOWN_SECONDS,
    ) -> None:
        self._redis = redis
        self._timeout_seconds = timeout_seconds
        self._cooldown = Cooldown("recent messages are read from the store", cooldown_seconds)
        # With the threads whose windows they write.
        self._writes: dict[asyncio.Task[None], str] = {}

    async def aclose(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._writes)

    async def get(self, thread_id: str) -> Window | None:
        """Return what is there of a thread, if that is known."""
        found = await self._try(lambda redis: redis.get(PREFIX + thread_id))
        if found is None:
            return None
        try:
            shared = SharedWindow.model_validate_json(found)
        except ValueError:
            logger.warning("what Redis has of thread %s cannot be read", thread_id)
            return None
        fields = {name: getattr(shared, name) for name in SharedWindow.model_fields}
        return Window(**fields, size=size_of(shared.messages))

    def put_later(self, thread_id: str, window: Window) -> None:
        """Share a window in the background."""
        left = int(window.read_at + MAX_SECONDS - time.time())
        if self._redis is None or left <= 0:
            return
        text = SharedWindow.model_validate(window, from_attributes=True).model_dump_json()
        # Not part of the turn's trace: it has ended.
        task = asyncio.create_task(self._set(PREFIX + thread_id, text, left), context=Context())
        self._writes[task] = thread_id
        task.add_done_callback(self._writes.pop)

    async def forget(self, thread_id: str) -> None:
        """Remove what is there of a thread, and what is just being shared; where that fails it expires."""
        if writes := [task for task, id in self._writes.items() if id == thread_id]:
            await asyncio.wait(writes)
        await self._try(lambda redis: redis.delete(PREFIX + thread_id))

    async def _set(self, key: str, text: str, seconds: int) -> None:
        await self._try(lambda redis: redis.set(key, text, ex=seconds))

    async def _try(self, do: Callable[[Redis], Awaitable[T]]) -> T | None:
        if self._redis is None or not self._cooldown.is_over:
            return None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await do(self._redis)
        except Exception:  # noqa: BLE001 - a query is spared, or not; nobody may fail for it
            self._cooldown.begin()
            return None
