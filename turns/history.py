"""How much of a thread's past the model is shown."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json

from models import Message


def fit_history(history: Sequence[Message], max_tokens: int) -> Sequence[Message]:
    """Return the latest messages that fit the budget, from a user's message on.

    A message counts with its tool calls and their results, so a call is never shown without its result. Tokens are estimated at
    four bytes of UTF-8 each, which errs on the safe side for most languages.
    """
    start = len(history)
    while start and (max_tokens := max_tokens - estimate_tokens(history[start - 1])) >= 0:
        start -= 1
    while start < len(history) and history[start].role != "user":
        start += 1
    return history[start:]


def estimate_tokens(message: Message) -> int:
    """Return about how many tokens the model needs to read a message and its tool calls."""
    size = len(message.content.encode())
    if message.tool_calls:
        size += len(to_json(message.tool_calls))
    return size // 4 + 4
