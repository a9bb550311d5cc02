"""Which tools the agent has: a new one is one line here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from settings import Settings
from tools.calculator import calculate
from tools.knowledge_base import open_knowledge_base
from tools.weather import open_weather

Tool = Callable[..., Any]


@asynccontextmanager
async def open_tools(settings: Settings) -> AsyncIterator[list[Tool]]:
    """Open every tool, for the life of the process."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_weather(settings)),
            calculate,
            await stack.enter_async_context(open_knowledge_base()),
        ]
