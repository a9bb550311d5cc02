"""What happens around each tool call: events, limits, and errors that the model can read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from agent_framework import FunctionInvocationContext, FunctionMiddleware
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from agent.budget import MAX_ERROR
from agent.run import NO_ROOM, RUN_KEY, Run
from agent.text import MAX_DEPTH, storable
from errors import ToolError
from errors.explain import explain
from observability import metrics, turn_usage
from tools.tool import are_sources

# Of one result; :mod:`agent.budget` has what all together may be.
MAX_RESULT_BYTES = 64 * 1024
logger = logging.getLogger(__name__)


class ToolTimeout(ToolError):
    """The tool did not answer in time."""


class ToolCallMiddleware(FunctionMiddleware):
    """Runs each tool call within its limits; whatever goes wrong becomes the call's error and never fails the run."""

    def __init__(
        self,
        *,
        timeout_seconds: float,
        timeouts: Mapping[str, float] = MappingProxyType({}),
        max_calls: int,
        dev_mode: bool = False,
    ) -> None:
        """Make it; ``timeouts`` are those of tools that have one of their own, by name.

        In ``dev_mode`` a call's error says what failed in the tool.
        """
        self._dev_mode = dev_mode
        self._timeout_seconds = timeout_seconds
        self._timeouts = timeouts
        self._max_calls = max_calls

    async def process(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Run one call and leave its result, as JSON text for the model, in the context."""
        run: Run = context.kwargs[RUN_KEY]
        call_id = context.metadata["call_id"]
        key = context.metadata.get("function_call_occurrence_id") or call_id
        context.arguments, unfit = storable_arguments(with_preferences(context, run.preferences))
        begun = run.begin_call(key, call_id, context.function.name, jsonable_arguments(context.arguments))
        started = time.perf_counter()
        result: JsonValue = None
        error: str | None = None
        outcome = "error"
        try:
            if (refusal := unfit or begun.error) or run.calls > self._max_calls:
                raise ToolError(refusal or f"no more than {self._max_calls} tool calls are possible in one turn")
            found = await self._call(context, call_next, run)
            if not run.has_room_for(to_json(found)):
                raise ToolError(NO_ROOM)
            result, outcome = found, "ok"
        except ToolTimeout as late:
            error, outcome = str(late), "timeout"
        except ToolError as failure:
            error = self._told(str(failure), failure.__cause__)
        except Exception as failure:
            logger.exception("tool %s failed", context.function.name)
            error = self._told("the tool failed", failure)
        except asyncio.CancelledError:
            error = "the tool was stopped"
            raise
        finally:
            seconds = time.perf_counter() - started
            labels = {"gen_ai.tool.name": context.function.name, "chat.tool.outcome": outcome}
            metrics.tool_calls.add(1, labels)
            metrics.tool_duration.record(seconds, labels)
            milliseconds = round(seconds * 1000)
            turn_usage.add_tool_call(context.function.name, milliseconds)
            run.end_call(begun.ended(result, error, duration_ms=milliseconds))
        context.result = to_json(result if error is None else {"error": error}).decode()

    def _told(self, error: str, cause: BaseException | None) -> str:
        """Return a call's error as it is told, in ``dev_mode`` with its cause."""
        # Arguments that do not fit are named already.
        if self._dev_mode and cause and not isinstance(cause, ValidationError):
            error = f"{error}: {explain(cause)}"
        told: str = storable(error[:MAX_ERROR])
        return told

    async def _call(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]], run: Run) -> JsonValue:
        check_arguments(context)
        seconds = self._timeouts.get(context.function.name, self._timeout_seconds)
        try:
            async with asyncio.timeout(seconds):
                await call_next()
        except TimeoutError as timeout:
            raise ToolTimeout(f"the tool took longer than {seconds:g} seconds") from timeout
        result = jsonable_result(context.result)
        if not are_sources(context.result):
            return result
        shown = cast("list[dict[str, JsonValue]]", result)
        return [{"index": run.index_of(source), **each} for source, each in zip(context.result, shown, strict=True)]


def with_preferences(context: FunctionInvocationContext, preferences: Mapping[str, JsonValue]) -> dict[str, Any]:
    """Return a call's arguments, and what the caller prefers for parameters that the model has left out."""
    model: type[BaseModel] | None = context.function.input_model
    known = model.model_fields if model else {}
    return {name: value for name, value in preferences.items() if name in known} | dict(context.arguments)


def check_arguments(context: FunctionInvocationContext) -> None:
    """Check a call's arguments against the tool's parameters.

    :raises ToolError: naming each argument that does not fit.
    """
    model: type[BaseModel] | None = context.function.input_model
    arguments = dict(context.arguments)
    if model is None:
        return
    if set(arguments) == {"raw"} and "raw" not in model.model_fields:
        raise ToolError("the arguments are not a JSON object")
    try:
        model.model_validate(arguments)
    except ValidationError as invalid:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in invalid.errors()]
        raise ToolError(f"the arguments do not fit ({'; '.join(problems)})") from invalid


def storable_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return a call's arguments as they can be stored, or none and what is wrong with them."""
    try:
        return storable(dict(arguments)), None
    except ValueError:
        return {}, f"the arguments are nested deeper than {MAX_DEPTH} levels"


def jsonable_arguments(arguments: Any) -> dict[str, JsonValue]:
    """Return a call's arguments as plain JSON."""
    plain: dict[str, JsonValue] = to_jsonable_python(dict(arguments), fallback=str, inf_nan_mode="strings")
    return plain


def jsonable_result(result: Any) -> JsonValue:
    """Return a tool's result as plain JSON.

    :raises ToolError: if it is no JSON, nested too deeply, or more than 64 KB of it.
    """
    try:
        plain: JsonValue = storable(to_jsonable_python(result, inf_nan_mode="strings"))
        size = len(to_json(plain))
    except (PydanticSerializationError, ValueError) as unfit:
        logger.exception("a tool's result cannot be written as JSON")
        raise ToolError("the tool's result cannot be shown") from unfit
    if size > MAX_RESULT_BYTES:
        raise ToolError("the tool's result is too large")
    return plain
