"""Why something failed, for a developer's eyes only: exceptions' texts may quote a prompt, a request or a key."""

from __future__ import annotations

from errors.base import ChatError

MAX_LENGTH = 2000


def explain(error: BaseException) -> str:
    """Return an exception and what caused it, with their texts; what a caller is told anyway is left out."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause:
        if not isinstance(cause, ChatError):
            parts.append(f"{type(cause).__qualname__}: {cause}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    # A text of half a character cannot be stored.
    return " ← ".join(parts)[:MAX_LENGTH].encode(errors="backslashreplace").decode()
