"""How large a reply may become: a turn is committed in one request, of which Cosmos DB takes 2 MB."""

from __future__ import annotations

from pydantic import JsonValue
from pydantic_core import to_json

# Of UTF-8, as it is sent. The user's message, at most 128 KB of it, is in the same request.
MAX_REPLY_BYTES = 1_500_000
# Tool calls and reasoning leave this to the text.
TEXT_BYTES = 250_000
# What a call takes beside its arguments and its result, an error's text included.
CALL_BYTES = 5000
MAX_ERROR = 1000


class ReplyBudget:
    """What is left for a reply: text, reasoning, citations, and tool calls with arguments, results and errors."""

    def __init__(self, used: int = 0) -> None:
        """Make one of which something is ``used`` already, in bytes; the text keeps its room."""
        self._left = max(TEXT_BYTES, MAX_REPLY_BYTES - used)

    def take_text(self, piece: str) -> str:
        """Take room for a piece of text, and return as much of it as there is room for."""
        return self._take_part(piece, self._left)

    def take_reasoning(self, piece: str) -> str:
        """Take room for a piece of reasoning, as :meth:`take_text` does."""
        return self._take_part(piece, max(0, self._left - TEXT_BYTES))

    def take_call(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> bool:
        """Take room for a call without its result; return ``False``, and take nothing, if there is none."""
        return self._take(len(to_json((call_id, tool, arguments))) + CALL_BYTES)

    def take_json(self, text: bytes) -> bool:
        """Take room for a result or a citation, as :meth:`take_call` does."""
        return self._take(len(text))

    def _take_part(self, piece: str, room: int) -> str:
        while (size := _text_size(piece)) > room:
            piece = piece[: len(piece) * room // size]
        self._left -= size
        return piece

    def _take(self, size: int) -> bool:
        if size > self._left - TEXT_BYTES:
            return False
        self._left -= size
        return True


def _text_size(text: str) -> int:
    return len(to_json(text)) - len('""')
