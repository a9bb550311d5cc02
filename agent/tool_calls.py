"""What happens around each tool call: events, limits, and errors that the model can read."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, cast

from agent_framework import FunctionInvocationContext, FunctionMiddleware
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from agent.citations import Source, are_sources, citation
from errors import ToolError
from models import Citation, ToolCall
from observability import metrics

# A committed message must stay below the store's 2 MB, with as many results as a turn may have.
MAX_RESULT_BYTES = 64 * 1024
RUN_KEY = "run"
logger = logging.getLogger(__name__)


class ToolTimeout(ToolError):
    """The tool did not answer in time."""


class RunObserver(Protocol):
    """Told what happens in a run, in order, on the event loop; its methods must not raise."""

    def text(self, piece: str) -> None:
        """The answer's next piece of text."""

    def tool_started(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> None:
        """The model asked for a tool."""

    def source_found(self, source: Citation) -> None:
        """A tool has found something that the answer may cite."""

    def tool_completed(self, call: ToolCall) -> None:
        """A tool call has its result or its error."""


class Run:
    """One run of the agent: what its observer has been told.

    ``told`` is the number of characters of the model's text; ``preferences`` are values for parameters of tools, by name, for
    calls that leave them out.
    """

    def __init__(self, observer: RunObserver, preferences: Mapping[str, JsonValue] = MappingProxyType({})) -> None:
        self._observer = observer
        self.preferences = preferences
        self._ids: set[str] = set()
        self._handled: set[str] = set()
        self._indexes: dict[str, int] = {}
        self._has_text = False
        self._paragraph_ended = False
        self.calls = 0
        self.told = 0

    def text(self, piece: str) -> None:
        """Pass on a piece of text; what comes after a tool call begins a new paragraph."""
        if not piece:
            return
        self.told += len(piece)
        if self._has_text and self._paragraph_ended:
            piece = f"\n\n{piece}"
        self._has_text, self._paragraph_ended = True, False
        self._observer.text(piece)

    def end_paragraph(self) -> None:
        """Say that the model has stopped writing to call a tool."""
        self._paragraph_ended = True

    def begin_call(self, key: str, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> str:
        """Announce a call and return its id, which is the model's unless that is missing or used already."""
        id = call_id if call_id and call_id not in self._ids else f"call_{uuid.uuid4().hex[:24]}"
        self._ids.add(id)
        self._handled.add(key)
        self._paragraph_ended = True
        self.calls += 1
        self._observer.tool_started(id, tool, arguments)
        return id

    def index_of(self, source: Source) -> int:
        """Return a source's number in this run; one that is found again keeps it."""
        if source.id not in self._indexes:
            self._indexes[source.id] = index = len(self._indexes) + 1
            self._observer.source_found(citation(index, source))
        return self._indexes[source.id]

    def end_call(self, call: ToolCall) -> None:
        """Announce a call's outcome."""
        self._observer.tool_completed(call)

    def is_handled(self, key: str) -> bool:
        """Whether the call with this key has been announced."""
        return key in self._handled


class ToolCallMiddleware(FunctionMiddleware):
    """Runs each tool call within its limits; whatever goes wrong becomes the call's error and never fails the run."""

    def __init__(self, *, timeout_seconds: float, max_calls: int) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_calls = max_calls

    async def process(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Run one call and leave its result, as JSON text for the model, in the context."""
        run: Run = context.kwargs[RUN_KEY]
        call_id = context.metadata["call_id"]
        key = context.metadata.get("function_call_occurrence_id") or call_id
        context.arguments = with_preferences(context, run.preferences)
        arguments = jsonable_arguments(context.arguments)
        id = run.begin_call(key, call_id, context.function.name, arguments)
        started = time.perf_counter()
        result: JsonValue = None
        error: str | None = None
        outcome = "error"
        try:
            if run.calls > self._max_calls:
                raise ToolError(f"no more than {self._max_calls} tool calls are possible in one turn")
            result = await self._call(context, call_next, run)
            outcome = "ok"
        except ToolTimeout as late:
            error, outcome = str(late), "timeout"
        except ToolError as failure:
            error = str(failure)
        except Exception:
            logger.exception("tool %s failed", context.function.name)
            error = "the tool failed"
        except asyncio.CancelledError:
            error = "the tool was stopped"
            raise
        finally:
            seconds = time.perf_counter() - started
            labels = {"gen_ai.tool.name": context.function.name, "chat.tool.outcome": outcome}
            metrics.tool_calls.add(1, labels)
            metrics.tool_duration.record(seconds, labels)
            run.end_call(
                ToolCall(
                    id=id,
                    tool=context.function.name,
                    arguments=arguments,
                    result=result,
                    error=error,
                    duration_ms=round(seconds * 1000),
                )
            )
        context.result = to_json(result if error is None else {"error": error}).decode()

    async def _call(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]], run: Run) -> JsonValue:
        check_arguments(context)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await call_next()
        except TimeoutError as timeout:
            raise ToolTimeout(f"the tool took longer than {self._timeout_seconds:g} seconds") from timeout
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


def jsonable_arguments(arguments: Any) -> dict[str, JsonValue]:
    """Return a call's arguments as plain JSON."""
    plain: dict[str, JsonValue] = to_jsonable_python(dict(arguments), fallback=str, inf_nan_mode="strings")
    return plain


def jsonable_result(result: Any) -> JsonValue:
    """Return a tool's result as plain JSON.

    :raises ToolError: if it is no JSON, or more than 64 KB of it.
    """
    try:
        plain: JsonValue = to_jsonable_python(result, inf_nan_mode="strings")
        size = len(to_json(plain))
    except (PydanticSerializationError, ValueError) as unfit:
        logger.exception("a tool's result cannot be written as JSON")
        raise ToolError("the tool's result cannot be shown") from unfit
    if size > MAX_RESULT_BYTES:
        raise ToolError("the tool's result is too large")
    return plain
