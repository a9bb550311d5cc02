"""What one call of the model answers, and how the readers of both wire formats put it together."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol

from agent.usage import CallUsage
from errors import ModelUnavailable

# It is stored with each message.
MAX_MODEL_NAME = 200
logger = logging.getLogger(__name__)


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


class CompletionBuilder:
    """Puts an answer together from its pieces; tells each, and counts it unless the size of all is ``counted`` already."""

    def __init__(self, observer: AnswerObserver, usage: CallUsage, *, counted: bool = False) -> None:
        self.usage = usage
        self.calls: list[ToolRequest] = []
        self.finish_reason: str | None = None
        self.model: str | None = None
        self._observer = observer
        self._counted = counted
        self._texts: list[str] = []
        self._has_reasoning = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been added."""
        return not (self._texts or self.calls or self._has_reasoning)

    def add_text(self, piece: str) -> None:
        """Add the next piece of text."""
        if piece:
            self.count(piece)
            self._texts.append(piece)
            self._observer.text(piece)

    def add_reasoning(self, piece: str) -> None:
        """Add the next piece of what the model thinks."""
        if piece:
            self.count(piece)
            self._has_reasoning = True
            self._observer.reasoning(piece)

    def add_call(self, call: ToolRequest) -> None:
        """Add a call, whose arguments may still come in; who adds to them counts them."""
        self.calls.append(call)
        self._observer.end_paragraph()

    def count(self, text: str) -> None:
        """Count what the model has written."""
        if not self._counted:
            self.usage.receive(len(text.encode(errors="replace")))

    def build(self, *, carried: bytes = b"") -> Completion:
        """Return the answer.

        :raises ModelUnavailable: if it has no end.
        """
        if self.finish_reason is None:
            hint = "it began; if its server cannot stream with tools, set MODEL_STREAM=off" if self.is_empty else "its end"
            logger.warning("the model's answer was cut off before %s", hint)
            raise ModelUnavailable
        if self.is_empty:
            logger.warning("the model's answer is empty")
        model = self.model[:MAX_MODEL_NAME] if self.model else None
        return Completion("".join(self._texts), self.calls, self.finish_reason, model, carried)
