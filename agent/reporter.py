"""What only the framework knows, told to the run: calls of tools that there are not, which it refuses by itself."""

from __future__ import annotations

from collections.abc import Sequence

from agent_framework import Content

from agent.budget import MAX_ERROR
from agent.run import Run
from agent.tool_calls import jsonable_arguments, storable_arguments
from observability import metrics


class Reporter:
    """Reads what the framework returns for calls that it has refused."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._calls: dict[str, Content] = {}

    def report(self, contents: Sequence[Content]) -> None:
        """Tell the run what a message, or a streamed piece of one, contains."""
        for content in contents:
            if content.type == "function_call" and content.call_id:
                self._calls[content.call_id] = content
            elif content.type == "function_result" and content.exception:
                self._report_refused(content)

    def _report_refused(self, result: Content) -> None:
        call = self._calls.get(result.call_id or "")
        if call is None or self._run.is_handled(result.call_id or ""):
            return
        arguments = jsonable_arguments(storable_arguments(call.parse_arguments() or {})[0])
        begun = self._run.begin_call(result.call_id or "", result.call_id or "", call.name or "", arguments)
        error = begun.error or f"there is no tool {begun.tool}"[:MAX_ERROR]
        # The model has made the name up.
        metrics.tool_calls.add(1, {"gen_ai.tool.name": "_OTHER", "chat.tool.outcome": "error"})
        self._run.start_call(begun)
        self._run.end_call(begun.ended(None, error, status="failed", duration_ms=0, acts=False))
