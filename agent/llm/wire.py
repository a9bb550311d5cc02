"""What the two wire formats have in common: Chat Completions and Responses are each behind :class:`Wire`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent_framework import FunctionTool
from agent_framework import Message as RunMessage

from agent.llm.completion import Completion, CompletionBuilder
from models import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """What one call of the model is asked with.

    ``history`` is rendered, as are ``tools``; ``messages`` are those of this run, and ``carried`` what has to go before the
    calls of an answer, by the id of its first call. ``options`` come from the settings.
    """

    model: str
    instructions: str | None
    history: bytes
    messages: Sequence[RunMessage]
    carried: Mapping[str, bytes]
    tools: Sequence[bytes]
    tool_choice: str
    stream: bool
    options: Mapping[str, Any]


class Reader(Protocol):
    """Puts an answer together from its pieces, and tells each once: an answer as a whole is one piece."""

    def take(self, data: bytes) -> None:
        """Take a piece, as JSON.

        :raises ServerError: if it is an error.
        :raises ValueError, TypeError, AttributeError, LookupError: if it is none.
        """

    def end(self, *, is_done: bool) -> Completion:
        """Return the answer. ``is_done`` says that the server has marked its end.

        :raises ModelUnavailable: if it has no end.
        """


class Wire(Protocol):
    """A format in which a model's server is asked, and answers."""

    @property
    def path(self) -> str:
        """Where requests go, below the API's address."""

    def render_history(self, history: Sequence[Message]) -> bytes:
        """Return stored messages as items of a request."""

    def render_tool(self, tool: FunctionTool) -> bytes:
        """Return how a tool is described."""

    def render_request(self, request: ModelRequest) -> bytes:
        """Return a request's body."""

    def reader(self, builder: CompletionBuilder) -> Reader:
        """Return what reads an answer into a builder."""
