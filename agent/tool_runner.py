"""Runs a tool call that may run: within its limits, with what it may know, and with errors that the model can read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from pydantic import JsonValue, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from agent.budget import MAX_ERROR
from agent.call_context import known_to_tool
from agent.run import NO_ROOM, BegunCall, Run
from agent.text import storable
from agent.tool_rules import ToolRules
from calls import NOT_MADE, UNKNOWN, CallStatus, ToolCall
from errors import ChatError, ToolError
from errors.explain import explain
from observability import metrics, turn_usage
from tools.tool import are_sources

Invoke = Callable[[], Awaitable[Any]]
# Of one result; :mod:`agent.budget` has what all together may be.
MAX_RESULT_BYTES = 64 * 1024
logger = logging.getLogger(__name__)


class OutcomeLost(ToolError):
    """The tool has run, or still does, and nobody is told what came of it; ``outcome`` is how that is counted."""

    outcome = "error"


class ToolTimeout(OutcomeLost):
    """The tool did not answer in time."""

    outcome = "timeout"


class ToolRunner:
    """Runs tool calls; whatever goes wrong becomes the call's error and never fails the run.

    In ``dev_mode`` a call's error says what failed in the tool.
    """

    def __init__(self, rules: ToolRules, *, dev_mode: bool = False) -> None:
        self._rules = rules
        self._dev_mode = dev_mode

    async def run(self, run: Run, call: BegunCall, invoke: Invoke, *, recorded: bool = False) -> ToolCall:
        """Run a call, and return it with its outcome. One that acts is recorded first, and never made a second time.

        ``recorded`` says that it has been recorded: it was approved.
        """
        acts = recorded or self._rules.acts(call.tool)
        if acts and not recorded and (earlier := run.made_before(call)):
            return run.repeat_call(call, earlier)
        started = time.perf_counter()
        status: CallStatus = "failed"
        result: JsonValue = None
        error: str | None = None
        outcome = "error"
        run.start_call(call)
        try:
            if acts:
                await self._record(run, call, recorded=recorded)
                recorded = True
            found = await self._call(run, call, invoke)
            if not run.has_room_for(to_json(found)):
                raise OutcomeLost(NO_ROOM)
            result, status, outcome = found, "completed", "ok"
        except OutcomeLost as lost:
            error, outcome = self._error_text(str(lost), lost.__cause__), lost.outcome
            status = "unknown" if acts else status
        except ToolError as failure:
            error = self._error_text(str(failure), failure.__cause__)
        except Exception as failure:
            logger.exception("tool %s failed", call.tool)
            error = self._error_text("the tool failed", failure)
            status = "unknown" if acts else status
        except asyncio.CancelledError:
            error = "the tool was stopped"
            status = "unknown" if recorded else status
            raise
        finally:
            if status == "unknown":
                metrics.tool_decisions.add(1, {"gen_ai.tool.name": call.tool, "chat.tool.decision": "unknown"})
                error = f"{error}; {UNKNOWN}"
            milliseconds = self._measure(call.tool, outcome, time.perf_counter() - started)
            ended = call.ended(result, error, status=status, duration_ms=milliseconds, acts=acts)
            run.end_call(ended)
        return ended

    async def _record(self, run: Run, call: BegunCall, *, recorded: bool) -> None:
        """Record a call that is about to act; of one that is recorded, make sure that nobody was told that it is over."""
        if recorded:
            if not run.request.holds_lease():
                raise ToolError(f"{NOT_MADE}: its turn was held up for too long")
            return
        try:
            await run.record(call)
        except ChatError as failure:
            logger.warning("tool %s is not run: %s", call.tool, failure.type)
            raise ToolError("the call could not be recorded, so it was not made") from failure

    def refuse(self, run: Run, call: BegunCall, error: str) -> ToolCall:
        """Tell that a call may not run, and return it with the error."""
        run.start_call(call)
        self._measure(call.tool, "error", 0)
        ended = call.ended(None, self._error_text(error, None), status="failed", duration_ms=0, acts=False)
        run.end_call(ended)
        return ended

    def _measure(self, tool: str, outcome: str, seconds: float) -> int:
        labels = {"gen_ai.tool.name": tool, "chat.tool.outcome": outcome}
        metrics.tool_calls.add(1, labels)
        metrics.tool_duration.record(seconds, labels)
        milliseconds = round(seconds * 1000)
        turn_usage.add_tool_call(tool, milliseconds)
        return milliseconds

    def _error_text(self, error: str, cause: BaseException | None) -> str:
        """Return a call's error as model and readers get it, in ``dev_mode`` with its cause."""
        # Arguments that do not fit are named already.
        if self._dev_mode and cause and not isinstance(cause, ValidationError):
            error = f"{error}: {explain(cause)}"
        text: str = storable(error[:MAX_ERROR])
        return text

    async def _call(self, run: Run, call: BegunCall, invoke: Invoke) -> JsonValue:
        seconds = self._rules.timeout(call.tool)
        with known_to_tool(run, call):
            try:
                async with asyncio.timeout(seconds):
                    found = await invoke()
            except SystemExit as left:
                raise RuntimeError("the tool tried to end the process") from left
            except TimeoutError as timeout:
                raise ToolTimeout(f"the tool took longer than {seconds:g} seconds") from timeout
        result = jsonable_result(found)
        if not are_sources(found):
            return result
        shown = cast("list[dict[str, JsonValue]]", result)
        return [{"index": run.index_of(source), **each} for source, each in zip(found, shown, strict=True)]


def jsonable_result(result: Any) -> JsonValue:
    """Return a tool's result as plain JSON.

    :raises OutcomeLost: if it is no JSON, nested too deeply, or more than 64 KB of it.
    """
    try:
        plain: JsonValue = storable(to_jsonable_python(storable(result)))
        size = len(to_json(plain))
    except (PydanticSerializationError, ValueError) as unfit:
        logger.exception("a tool's result cannot be written as JSON")
        raise OutcomeLost("the tool's result cannot be shown") from unfit
    if size > MAX_RESULT_BYTES:
        raise OutcomeLost("the tool's result is too large")
    return plain
