"""What the framework does with a tool call that the model asks for: it is checked, then it runs, or waits for somebody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from agent_framework import Content, FunctionInvocationContext, FunctionMiddleware, FunctionTool
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import to_json, to_jsonable_python

from agent.call_context import tool_context
from agent.history import outcome_json
from agent.run import RUN_KEY, BegunCall, Run
from agent.text import MAX_DEPTH, storable
from agent.tool_rules import ToolRules
from agent.tool_runner import ToolRunner
from calls import NOT_MADE, Awaited, ToolCall
from models import utcnow
from observability import metrics

# The greatest whole number up to which a double has all of them.
MAX_EXACT = 2**53


class ToolCallMiddleware(FunctionMiddleware):
    """Decides what becomes of each tool call. A turn makes ``max_calls``; one may be approved for ``approval_seconds``."""

    def __init__(self, rules: ToolRules, runner: ToolRunner, *, max_calls: int, approval_seconds: float) -> None:
        self._rules = rules
        self._runner = runner
        self._max_calls = max_calls
        self._time_to_decide = timedelta(seconds=approval_seconds)

    async def process(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> None:
        """Run one call and leave its result, as JSON text for the model, in the context; or say that it waits."""
        run: Run = context.kwargs[RUN_KEY]
        call_id = context.metadata["call_id"]
        key = context.metadata.get("function_call_occurrence_id") or call_id
        context.arguments, unfit = storable_arguments(with_preferences(context, run.preferences))
        call = run.begin_call(key, call_id, context.function.name, jsonable_arguments(context.arguments))
        refusal = unfit or call.error or self._too_many(run) or wrong_arguments(context)
        awaits = None if refusal else self._awaited(run, call)
        if awaits == "approval" and not is_kept_whole(context, call.arguments):
            refusal = "the arguments cannot be shown as the tool would get them, so nobody is asked"
        if refusal:
            context.result = outcome_json(self._runner.refuse(run, call, refusal))
        elif awaits:
            if awaits == "approval":
                metrics.tool_decisions.add(1, {"gen_ai.tool.name": call.tool, "chat.tool.decision": "asked"})
            run.open_call(call, awaits, utcnow() + self._time_to_decide)
            # What ends the framework's loop, after the calls beside this one.
            asked = Content.from_function_call(call_id, call.tool, arguments=call.arguments)
            context.result = Content.from_function_approval_request(id=call.id, function_call=asked)
        else:
            context.result = outcome_json(await self._runner.run(run, call, _invoking(context, call_next)))

    def _too_many(self, run: Run) -> str | None:
        return f"no more than {self._max_calls} tool calls are possible in one turn" if run.calls > self._max_calls else None

    def _awaited(self, run: Run, call: BegunCall) -> Awaited | None:
        if call.tool in run.client_tools:
            return "result"
        if call.tool in run.request.allowed_tools or run.made_before(call):
            return None
        return "approval" if self._rules.asks(call.tool, call.arguments, lambda: tool_context(run, call)) else None


async def run_approved(
    run: Run, runner: ToolRunner, tools: Mapping[str, FunctionTool], calls: Sequence[ToolCall]
) -> list[ToolCall]:
    """Make calls that somebody has approved, all at once, and return them with their outcomes."""

    async def make(call: ToolCall) -> ToolCall:
        begun = BegunCall(call.id, call.tool, call.arguments, call.key or call.id, None)
        if (tool := tools.get(call.tool)) is None:
            return runner.refuse(run, begun, f"{NOT_MADE}: there is no tool {call.tool} any more")
        if not takes(tool, call.arguments):
            return runner.refuse(run, begun, f"{NOT_MADE}: the tool takes other arguments by now")
        return await runner.run(run, begun, lambda: tool.invoke(arguments=call.arguments, skip_parsing=True), recorded=True)

    return list(await asyncio.gather(*map(make, calls)))


def _invoking(context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[Any]]:
    async def invoke() -> Any:
        await call_next()
        return context.result

    return invoke


def with_preferences(context: FunctionInvocationContext, preferences: Mapping[str, JsonValue]) -> dict[str, Any]:
    """Return a call's arguments, and what the caller prefers for what the model has left out, as the tool takes it."""
    given = dict(context.arguments)
    model: type[BaseModel] | None = context.function.input_model
    known = model.model_fields if model else {}
    preferred = {name: value for name, value in preferences.items() if name in known and name not in given}
    if not preferred:
        return given
    validated = _validated(context.function, preferred | given) or {}
    return {name: validated.get(name, value) for name, value in preferred.items()} | given


def wrong_arguments(context: FunctionInvocationContext) -> str | None:
    """Return in which of a call's arguments it does not fit the tool's parameters, if it does not."""
    model: type[BaseModel] | None = context.function.input_model
    arguments = dict(context.arguments)
    if set(arguments) == {"raw"} and "raw" not in context.function.parameters().get("properties", {}):
        return "the arguments are not a JSON object"
    if model is None:
        return None
    try:
        model.model_validate(arguments)
    except ValidationError as invalid:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in invalid.errors()]
        return f"the arguments do not fit ({'; '.join(problems)})"
    return None


def is_kept_whole(context: FunctionInvocationContext, kept: Mapping[str, JsonValue]) -> bool:
    """Tell whether a tool would get the same arguments, made of what is kept of them: what is approved is what runs."""
    return _is_exact(kept) and _validated(context.function, kept) == dict(context.arguments)


def takes(tool: FunctionTool, kept: Mapping[str, JsonValue]) -> bool:
    """Tell whether a tool, which may be of a later release, would get exactly the arguments that were kept."""
    again = _validated(tool, kept)
    return again is not None and jsonable_arguments(again) == dict(kept)


def _validated(tool: FunctionTool, arguments: Mapping[str, JsonValue]) -> dict[str, Any] | None:
    """Return arguments as the framework would pass them on; ``None`` if they do not fit."""
    model: type[BaseModel] | None = tool.input_model
    if model is None:
        return dict(arguments)
    try:
        return model.model_validate(dict(arguments)).model_dump(exclude_unset=True)
    except ValidationError:
        return None


def _is_exact(value: JsonValue | Mapping[str, JsonValue]) -> bool:
    """Tell whether all numbers of JSON can be stored: Cosmos DB keeps them as doubles."""
    if isinstance(value, Mapping):
        return all(map(_is_exact, value.values()))
    if isinstance(value, list):
        return all(map(_is_exact, value))
    return not isinstance(value, int) or abs(value) <= MAX_EXACT


def storable_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return a call's arguments as they can be stored, or none and what is wrong with them."""
    try:
        return storable(dict(arguments)), None
    except ValueError:
        return {}, f"the arguments are nested deeper than {MAX_DEPTH} levels"


def jsonable_arguments(arguments: Any) -> dict[str, JsonValue]:
    """Return a call's arguments as plain JSON."""
    plain: dict[str, JsonValue] = storable(to_jsonable_python(_without_sets(dict(arguments)), fallback=str))
    return plain


def _without_sets(value: Any) -> Any:
    """Return a value with lists in the place of sets, whose order is another in each process."""
    if isinstance(value, dict):
        return {name: _without_sets(each) for name, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((to_jsonable_python(each, fallback=str) for each in value), key=to_json)
    return [_without_sets(each) for each in value] if isinstance(value, list | tuple) else value
