"""The time that pacing goes by."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """Monotonic time in seconds, and waiting."""

    def now(self) -> float:
        """Return the time."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for an event, at most for so long; return whether it has happened."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await event.wait()
        except TimeoutError:
            pass
        return event.is_set()

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        await self.wait(asyncio.Event(), seconds)
