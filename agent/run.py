"""One run of the agent, and who is told of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from pydantic import JsonValue

from agent.text import storable
from agent.usage import CallUsage
from models import Citation, ToolCall
from tools.tool import Source

# The name under which the framework hands a run to the middleware.
RUN_KEY = "run"
SNIPPET_MAX_LENGTH = 1000


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

    def tokens_used(self, input_tokens: int, output_tokens: int) -> None:
        """The run has ended, however it has: what all its model calls have read and written."""


class Run:
    """One run of the agent: what its observer has been told.

    ``emitted`` counts the characters of the model's text; ``preferences`` are values for parameters of tools, by name, for
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
        self.emitted = 0
        self._model_calls: list[CallUsage] = []

    def text(self, piece: str) -> None:
        """Pass on a piece of text; what comes after a tool call begins a new paragraph."""
        if not piece:
            return
        self.emitted += len(piece)
        if self._has_text and self._paragraph_ended:
            piece = f"\n\n{piece}"
        self._has_text, self._paragraph_ended = True, False
        self._observer.text(piece)

    def call_model(self, sent: int) -> CallUsage:
        """Take note of a model call whose request has ``sent`` bytes, and return the count of what it uses."""
        usage = CallUsage(sent)
        self._model_calls.append(usage)
        return usage

    def usage(self) -> tuple[int, int]:
        """Return the tokens that the model calls have read and written so far."""
        return sum(call.input_tokens for call in self._model_calls), sum(call.output_tokens for call in self._model_calls)

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
            self._observer.source_found(as_citation(index, source))
        return self._indexes[source.id]

    def end_call(self, call: ToolCall) -> None:
        """Announce a call's outcome."""
        self._observer.tool_completed(call)

    def is_handled(self, key: str) -> bool:
        """Whether the call with this key has been announced."""
        return key in self._handled


def as_citation(index: int, source: Source) -> Citation:
    """Return a source as an answer cites it."""
    fields = {"id": source.id, "title": source.title, "url": source.url, "snippet": source.snippet[:SNIPPET_MAX_LENGTH]}
    return Citation(index=index, **storable(fields))
