"""What is opened in the background while the process already serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Generic, TypeVar

from settings import SettingsError

T = TypeVar("T")
CLOSE_SECONDS = 10.0
logger = logging.getLogger(__name__)


class LazyResource(Generic[T]):
    """Something that is opened in the background from the start on; opened again when that failed.

    Importing and building it takes most of a cold start: requests that do not need it don't wait for it. ``load`` runs in a
    thread and returns what opens it.
    """

    def __init__(self, name: str, load: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._name = name
        self._load = load
        self._stack = AsyncExitStack()
        self._opening = asyncio.create_task(self._open())

    @property
    def is_open(self) -> bool:
        """Whether it is there."""
        return self._opening.done() and not self._opening.cancelled() and self._opening.exception() is None

    async def get(self) -> T:
        """Return it as soon as it is there."""
        if self._opening.done() and self._opening.exception():
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def aclose(self) -> None:
        """Close it; while it is still being opened, that is waited for: what its threads have opened could not be closed."""
        await asyncio.wait([self._opening], timeout=CLOSE_SECONDS)
        self._opening.cancel()
        await asyncio.gather(self._opening, return_exceptions=True)
        await self._stack.aclose()

    async def _open(self) -> T:
        try:
            return await self._stack.enter_async_context(await asyncio.to_thread(self._load))
        except SettingsError as error:
            # It says itself what is wrong, and where.
            logger.error("failed to start %s: %s", self._name, error)
            raise
        except Exception:
            logger.exception("failed to start %s", self._name)
            raise
