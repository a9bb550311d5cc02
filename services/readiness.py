"""Whether this process can answer messages: its store, its model and the limits' Redis, each asked with a real request.

However many callers ask at once, a part is asked once, and its answer counts for a while, so that probes cost nothing. A part
that has not answered yet does not count as ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from time import monotonic

logger = logging.getLogger(__name__)


class ReadinessCheck:
    """Something that messages cannot be answered without: ``probe`` raises if it fails; its outcome counts for ``seconds``."""

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        *,
        seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.name = name
        self._probe = probe
        self._seconds = seconds
        self._clock = clock
        self._fresh_until = 0.0
        self._pending: asyncio.Task[bool] | None = None

    def pending_probe(self) -> asyncio.Task[bool]:
        """Return the question that is on its way or whose answer still counts, else a new one; its result: did it work?"""
        if self._pending is None or (self._pending.done() and self._clock() >= self._fresh_until):
            # Not a part of the request that happens to come first: others wait for it too.
            self._pending = asyncio.create_task(self._answers(), context=Context())
        return self._pending

    async def aclose(self) -> None:
        """Ask no longer."""
        if self._pending:
            self._pending.cancel()
            await asyncio.gather(self._pending, return_exceptions=True)

    async def _answers(self) -> bool:
        try:
            await self._probe()
        except Exception:
            logger.warning("not ready: %s", self.name, exc_info=True)
            return False
        finally:
            self._fresh_until = self._clock() + self._seconds
        return True


class Readiness:
    """Asks all parts."""

    def __init__(self, parts: Sequence[ReadinessCheck], *, wait_seconds: float) -> None:
        self._parts = parts
        self._wait_seconds = wait_seconds

    @property
    def parts(self) -> list[str]:
        """The names of all parts."""
        return [part.name for part in self._parts]

    async def failures(self) -> list[str]:
        """Return the names of the parts that fail or have not answered within ``wait_seconds``."""
        asked = [part.pending_probe() for part in self._parts]
        if waiting := [task for task in asked if not task.done()]:
            # A caller that stops waiting does not stop the probe: its outcome is for the next one.
            await asyncio.wait(waiting, timeout=self._wait_seconds)
        return [part.name for part, task in zip(self._parts, asked, strict=True) if not (task.done() and task.result())]

    async def aclose(self) -> None:
        """Ask no longer."""
        await asyncio.gather(*(part.aclose() for part in self._parts))
