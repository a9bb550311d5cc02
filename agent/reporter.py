"""What the framework returns, told to the run."""

from __future__ import annotations

from collections.abc import Sequence

from agent_framework import Content
from pydantic_core import to_json

from agent.budget import MAX_ERROR
from agent.run import Run
from agent.tool_calls import jsonable_arguments, storable_arguments
from observability import metrics


class Reporter:
    """Reads what the framework returns for text, and for calls that it refused by itself: those of unknown tools."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._calls: dict[str, tuple[str, list[str]]] = {}
        self._seen = 0

    def report(self, contents: Sequence[Content]) -> None:
        """Tell the run what a message, or a streamed piece of one, contains."""
        for content in contents:
            if content.type == "text" and content.text:
                self._report_text(content.text)
            elif content.type == "function_call":
                self._run.end_paragraph()
                self._remember(content)
            elif content.type == "function_result" and content.exception:
                self._report_refused(content)

    def _report_text(self, text: str) -> None:
        """Tell the run the part of a text that the model's client has not told it itself."""
        self._seen += len(text)
        if (pending := self._seen - self._run.emitted) > 0:
            self._run.text(text[-pending:])

    def _remember(self, content: Content) -> None:
        """Keep a call's name and arguments, which may come in pieces, under all its ids."""
        keys = [key for key in (content.id, content.call_id) if key]
        call = next((self._calls[key] for key in keys if key in self._calls and not content.name), None)
        name, pieces = call or (content.name or "", [])
        arguments = content.arguments
        pieces.append(arguments if isinstance(arguments, str) else to_json(arguments or {}).decode())
        self._calls.update(dict.fromkeys(keys, (name, pieces)))

    def _report_refused(self, result: Content) -> None:
        key = result.id or result.call_id or ""
        if self._run.is_handled(key):
            return
        name, pieces = self._calls.get(key, ("", []))
        call = Content.from_function_call(key, name, arguments="".join(pieces))
        arguments = jsonable_arguments(storable_arguments(call.parse_arguments() or {})[0])
        begun = self._run.begin_call(key, result.call_id or "", name, arguments)
        error = begun.error or f"there is no tool {begun.tool}"[:MAX_ERROR]
        # The model has made the name up.
        metrics.tool_calls.add(1, {"gen_ai.tool.name": "_OTHER", "chat.tool.outcome": "error"})
        self._run.end_call(begun.ended(None, error, duration_ms=0))
