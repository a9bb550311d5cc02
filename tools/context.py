"""What a tool may know of the call that it answers: who asks, where, and under which key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from pydantic import JsonValue

from models import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """One call of a tool, for a parameter ``context: ToolContext``, which the model never sees.

    ``call_key`` stays the same however often the message is tried again: services that know idempotency keys want it.
    ``metadata`` is the message's, ``locale`` the caller's language, such as ``de-CH``, if it is known.
    ``logger`` names the tool.
    """

    owner: Owner
    thread_id: str
    turn_id: str
    message_id: str
    call_id: str
    call_key: str
    metadata: Mapping[str, JsonValue]
    locale: str | None
    logger: logging.Logger
    emit: Callable[[str], None] = field(repr=False)

    def progress(self, text: str) -> None:
        """Tell who is waiting how far the tool is, such as ``3 of 10``; from any thread. After the call it does nothing."""
        self.emit(text)


current_call: ContextVar[ToolContext] = ContextVar("current_call")
