"""What a function must have to be a tool, and the settings that are bound to it."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import typing
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import PydanticUserError, create_model

from settings import AssistantError
from settings.icons import unknown_icon
from tools.context import ToolContext, current_call
from tools.settings import ToolSettings
from tools.tool import Tool, is_tool, spec_of

# What model servers take.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
SETTINGS = "settings"
CONTEXT = "context"
# A file and a line in it; 0 where the line is not known.
Place = tuple[str, int]


def check_tool(tool: Tool, icons: Iterable[str]) -> None:
    """Look at a tool as the model will, and the page, where the assistant has these drawings of its own.

    :raises AssistantError: saying what is missing, and in which file and line.
    """
    spec = spec_of(tool)
    if not NAME.fullmatch(tool.__name__):
        raise tool_error(tool, "the name must be at most 64 letters, digits and underscores")
    if not inspect.getdoc(tool):
        raise tool_error(tool, "needs a docstring: it tells the model what the tool does and when to call it")
    if inspect.isgeneratorfunction(tool) or inspect.isasyncgenfunction(tool):
        raise tool_error(tool, "has a yield: a tool returns its result, all at once")
    if not spec.view.title:
        raise tool_error(tool, "its title is empty: say in a few words what people see, by language")
    if spec.approval not in ("never", "always") and not callable(spec.approval):
        raise tool_error(tool, 'approval must be "never", "always", or a function of the arguments and the context')
    if spec.timeout_seconds is not None and spec.timeout_seconds <= 0:
        raise tool_error(tool, "timeout_seconds must be more than 0")
    if reason := unknown_icon(spec.view.icon, icons):
        raise tool_error(tool, f"icon: {reason}")
    for pattern in spec.view.result.icons if spec.view.result else ():
        try:
            re.compile(pattern)
        except re.error as error:
            raise tool_error(tool, f"icons: {pattern!r} is no regular expression: {error}") from error
    try:
        types = typing.get_type_hints(tool, include_extras=True)
    except Exception as error:
        raise tool_error(tool, f"the type of a parameter cannot be read: {error}") from error
    for name, parameter in inspect.signature(tool).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise tool_error(tool, f"{name}: a tool's parameters have names of their own: no *, ** or /")
        if name not in types:
            raise tool_error(tool, f"{name}: has no type: write it as {name}: Annotated[…, Field(description=…)]")
    _check_parameters(tool, types)


def _check_parameters(tool: Tool, types: Mapping[str, Any]) -> None:
    """Describe a tool's parameters as the model is told of them, once: no turn could be answered beside one that cannot be."""
    for name, parameter in inspect.signature(tool).parameters.items():
        default = ... if parameter.default is parameter.empty else parameter.default
        fields: dict[str, Any] = {name: (types[name], default)}
        try:
            model = create_model(tool.__name__, **fields)
            described = model.model_json_schema()
            json.dumps(described, allow_nan=False)
            has_alias = described != model.model_json_schema(by_alias=False)
        except (PydanticUserError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise tool_error(tool, f"{name}: cannot be described to the model as JSON: {reason}") from error
        if name not in model.model_fields:
            raise tool_error(tool, f"{name}: the model is not told of names that begin with an underscore")
        if has_alias:
            raise tool_error(tool, f"{name}: a field has an alias: a tool gets its arguments by the fields' own names")


def check_function(tool: object, module: ModuleType) -> None:
    """Refuse what a module opens as a tool and is no function: it has no name, or is called otherwise.

    :raises AssistantError: naming the module. What it is bound to is not shown: it may be a secret.
    """
    if not inspect.isroutine(tool):
        raise _module_error(module, f"open_tools yields a {type(tool).__name__}, but a tool is a function or a method")


def check_opening(opened: object, module: ModuleType) -> AbstractAsyncContextManager[list[Tool]]:
    """Return what a module's ``open_tools`` has returned.

    :raises AssistantError: if nothing can be opened with it.
    """
    if isinstance(opened, AbstractAsyncContextManager):
        return opened
    if inspect.iscoroutine(opened):
        opened.close()
    raise _module_error(module, "open_tools is no asynchronous context manager: write @asynccontextmanager in front of it")


def _module_error(module: ModuleType, reason: str) -> AssistantError:
    file = module.__file__ or module.__name__
    return AssistantError(f"{file}: {module.__name__}: {reason}", file=Path(file))


def bind_settings(tool: Tool, settings: ToolSettings) -> Tool:
    """Fill in a tool's parameter ``settings``, and hide it from who looks at the tool's signature.

    :raises AssistantError: if it has no such parameter.
    """
    signature = inspect.signature(tool)
    if SETTINGS not in signature.parameters:
        raise tool_error(tool, "has settings=… in its decorator, but no parameter settings")
    bound: Any = functools.update_wrapper(functools.partial(tool, settings=settings), tool)
    return _hiding(bound, signature, SETTINGS)


def bind_context(tool: Tool) -> Tool:
    """Fill in a tool's parameter ``context``, if it is a :class:`~tools.context.ToolContext`, and hide it as settings are."""
    signature = inspect.signature(tool)
    if CONTEXT not in signature.parameters or not _takes_context(tool):
        return tool

    async def bound(**arguments: Any) -> Any:
        return await tool(**arguments, context=current_call.get())

    def bound_in_thread(**arguments: Any) -> Any:
        return tool(**arguments, context=current_call.get())

    chosen = bound if inspect.iscoroutinefunction(tool) else bound_in_thread
    return _hiding(functools.update_wrapper(chosen, tool), signature, CONTEXT)


def _takes_context(tool: Tool) -> bool:
    try:
        return typing.get_type_hints(tool).get(CONTEXT) is ToolContext
    except Exception:  # noqa: BLE001 - check_tool says what is wrong with it
        return False


def _hiding(bound: Any, signature: inspect.Signature, name: str) -> Tool:
    shown = [parameter for each, parameter in signature.parameters.items() if each != name]
    bound.__signature__ = signature.replace(parameters=shown)
    return typing.cast("Tool", bound)


def check_names(module: ModuleType) -> None:
    """Find a tool that another one of the same name in its file hides: Python keeps the last one only.

    :raises AssistantError: with the file and the line of both.
    """
    try:
        body = ast.parse(inspect.getsource(module)).body
    except OSError:
        return
    lines: dict[str, int] = {}
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not is_tool(vars(module).get(node.name)):
            continue
        line = min(part.lineno for part in (node, *node.decorator_list))
        if node.name in lines:
            raise same_name(node.name, (str(module.__file__), line), (str(module.__file__), lines[node.name]))
        lines[node.name] = line


def same_name(name: str, place: Place, other: Place) -> AssistantError:
    """Return what is said of two tools of one name."""
    reason = f"there is another tool {name} ({_shown(other)}): give one of them another name"
    return AssistantError(f"tool {name} ({_shown(place)}): {reason}", file=Path(place[0]))


def tool_error(tool: Tool, reason: str) -> AssistantError:
    """Return what is said of a tool that cannot be used."""
    place = place_of(tool)
    return AssistantError(f"tool {tool.__name__} ({_shown(place)}): {reason}", file=Path(place[0]))


def place_of(tool: Tool) -> Place:
    """Return where a tool is defined."""
    code = getattr(inspect.unwrap(tool), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else (tool.__module__, 0)


def _shown(place: Place) -> str:
    return ":".join(str(part) for part in place if part)
