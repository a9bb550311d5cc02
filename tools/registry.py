"""The agent's tools: those of the modules that the assistant names, opened for the life of the process."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from settings import AssistantError, SettingsError
from settings.assistant import FILE
from tools.checks import (
    bind_context,
    bind_settings,
    check_function,
    check_names,
    check_opening,
    check_tool,
    place_of,
    same_name,
)
from tools.environment import ToolEnvironment
from tools.modules import import_error, nothing_in
from tools.settings import ToolSettings
from tools.tool import Tool, is_tool, spec_of


@asynccontextmanager
async def open_tools(environment: ToolEnvironment) -> AsyncIterator[list[Tool]]:
    """Open every tool. A module has tools, or yields them from ``open_tools`` where something has to be opened first.

    :raises AssistantError: naming the module, and what of it cannot be used.
    """
    file = environment.assistant.folder / FILE
    async with AsyncExitStack() as stack:
        tools: dict[str, Tool] = {}
        for name in environment.assistant.tools:
            module = import_tool_module(name, file)
            check_names(module)
            try:
                opened = await _open(module, environment, stack)
            except SettingsError as error:
                wrong = error.file if isinstance(error, AssistantError) else None
                raise AssistantError(f"tool {name}: {error}", file=wrong, variables=error.variables) from error
            if not opened:
                raise nothing_in(module)
            for tool in opened:
                check_tool(tool, environment.assistant.icons)
                if tool.__name__ in tools:
                    raise same_name(tool.__name__, place_of(tool), place_of(tools[tool.__name__]))
                tools[tool.__name__] = tool
        yield list(tools.values())


def import_tool_module(name: str, file: Path = Path(FILE)) -> ModuleType:
    """Import a module of tools, which the assistant's file names.

    :raises AssistantError: if that fails.
    """
    path = name if "." in name else f"tools.{name}"
    try:
        return importlib.import_module(path)
    except Exception as error:
        raise import_error(error, path, file) from error


def settings_of(module: ModuleType) -> list[type[ToolSettings]]:
    """Return the classes of settings that a module of tools brings."""
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, ToolSettings) and each.__module__ == module.__name__
    ]


async def _open(module: ModuleType, environment: ToolEnvironment, stack: AsyncExitStack) -> Sequence[Tool]:
    opening: Any = getattr(module, "open_tools", None)
    found = [value for value in vars(module).values() if is_tool(value) and value.__module__ == module.__name__]
    if opening is not None:
        found += await stack.enter_async_context(check_opening(opening(environment), module))
    for tool in found:
        check_function(tool, module)
    return [_with_settings(tool, environment) for tool in found]


def _with_settings(tool: Tool, environment: ToolEnvironment) -> Tool:
    kind = spec_of(tool).settings
    return bind_context(tool if kind is None else bind_settings(tool, environment.read(kind)))
