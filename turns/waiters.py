"""Waiting for something to change, for any number of tasks."""

from __future__ import annotations

import asyncio


class Waiters:
    """Tasks that wait for a change; use it in one event loop."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[bool]] = set()

    def notify(self) -> None:
        """Wake all who wait."""
        for changed in self._waiters:
            _set(changed, True)

    async def wait(self, seconds: float | None) -> bool:
        """Wait for the next change; return whether it came within ``seconds``, if there is such a limit."""
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[bool] = loop.create_future()
        self._waiters.add(changed)
        timer = loop.call_later(seconds, _set, changed, False) if seconds is not None else None
        try:
            return await changed
        finally:
            self._waiters.discard(changed)
            if timer:
                timer.cancel()


def _set(changed: asyncio.Future[bool], value: bool) -> None:
    if not changed.done():
        changed.set_result(value)
