"""The agent's tools: plain typed functions, registered here.

A tool is one file: a function whose docstring tells the model when to call it and whose parameters are described with
``Annotated[…, Field(description=…)]``. It returns anything that is JSON and raises :class:`~errors.ToolError`, in plain words,
when it cannot do what was asked. What an answer may cite is returned as a list of :class:`~tools.tool.Source`. One that needs
something opened is yielded by an async context manager.
"""

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
