"""What the two wire formats have in common: Chat Completions and Responses are each behind :class:`Wire`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent_framework import FunctionTool
from agent_framework import Message as RunMessage

from agent.usage import CallUsage
from models import Message


class AnswerObserver(Protocol):
    """Told of an answer while it comes in."""

    def text(self, piece: str) -> None:
        """The next piece of text."""

    def reasoning(self, piece: str) -> None:
        """The next piece of what the model thinks."""

    def end_paragraph(self) -> None:
        """The model has stopped writing to call a tool."""


@dataclass
class ToolRequest:
    """A call that the model asks for; ``arguments`` are JSON, as far as the model knows how to write it."""

    id: str
    name: str
    arguments: str = ""


@dataclass
class Completion:
    """What one call of the model has answered.

    ``carried`` is what has to go back to the model with the results of the calls, as items of the wire: encrypted reasoning.
    """

    text: str = ""
    calls: list[ToolRequest] = field(default_factory=list)
    finish_reason: str | None = None
    model: str | None = None
    carried: bytes = b""


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

    def reader(self, observer: AnswerObserver, usage: CallUsage, *, counted: bool = False) -> Reader:
        """Return what reads an answer; ``counted`` says that its size has been counted already."""
