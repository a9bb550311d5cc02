"""Lets what a test waits for happen step by step."""

from __future__ import annotations

import asyncio


class Steps:
    """Lets the model's stream go on piece by piece."""

    def __init__(self) -> None:
        self._steps = asyncio.Semaphore(0)

    async def __call__(self) -> None:
        await self._steps.acquire()

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self._steps.release()
