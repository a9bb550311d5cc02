"""Tells a test that what it waits for has been called, where nothing else would tell."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

SECONDS = 20


class Calls:
    """The ``outcomes`` of a method's calls as they end: what it returned, or the exception that it raised."""

    def __init__(self) -> None:
        self.outcomes: list[Any] = []
        self._ended = asyncio.Event()

    def of(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a method that does the same and is noted here."""

        @functools.wraps(method)
        async def noted(*args: Any, **named: Any) -> Any:
            outcome: Any = None
            try:
                outcome = await method(*args, **named)
            except Exception as error:
                outcome = error
                raise
            finally:
                self.outcomes.append(outcome)
                self._ended.set()
            return outcome

        return noted

    async def at_least(self, count: int) -> None:
        """Wait until so many calls have ended."""
        await self._until(lambda: len(self.outcomes) >= count)

    async def returned(self, value: object) -> None:
        """Wait until a call has returned this."""
        await self._until(lambda: value in self.outcomes)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._ended.clear()
                await self._ended.wait()


def watch(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> Calls:
    """Note the calls of a class's method from now on."""
    calls = Calls()
    monkeypatch.setattr(owner, name, calls.of(getattr(owner, name)))
    return calls
