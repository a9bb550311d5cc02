"""Where to divide a text that is too long for one message."""

from __future__ import annotations

import re
from typing import NamedTuple

# A line that is longer opens nothing: it would have to be repeated in each message.
FENCE = re.compile(r"^ {0,3}```.{0,100}$", re.MULTILINE)
CLOSING = "\n```"


class Piece(NamedTuple):
    """The first message of a text; the next begins with ``prefix``, and what is behind ``end`` in the text."""

    text: str
    end: int
    prefix: str

    def rest_of(self, text: str) -> str:
        """Return what the next messages say of a text, which may have grown meanwhile."""
        behind = text[self.end :]
        return self.prefix + behind.removeprefix("\n") if self.prefix else behind.lstrip()


def fitting(text: str, units: int) -> int:
    """Return how many of a text's first characters are at most so many units of UTF-16, in which Teams counts."""
    if text.isascii() or len(text) * 2 <= units:
        return min(len(text), units)
    return len(text.encode("utf-16-le", "surrogatepass")[: units * 2].decode("utf-16-le", "ignore"))


def divide(text: str, least: int, most: int) -> Piece:
    """Divide a text behind ``least`` and before ``most`` characters: between paragraphs, else lines, else words.

    A code block stays whole; one that fits into no message is closed, and opened again in the next.
    """
    if len(text) <= most:
        return Piece(text, len(text), "")
    for separator in ("\n\n", "\n", " "):
        end = text.rfind(separator, least, most)
        while end > 0 and (opening := _open_fence(text, end)):
            end = text.rfind(separator, least, opening.start())
        if end > 0:
            return Piece(text[:end], end, "")
    most -= len(CLOSING)
    end = max(text.rfind("\n", least, most), text.rfind(" ", least, most) if not _open_fence(text, most) else -1)
    end = end if end > 0 else most
    opening = _open_fence(text, end)
    if opening is None:
        return Piece(text[:end], end, "")
    return Piece(text[:end] + CLOSING, end, f"{opening.group()}\n")


def _open_fence(text: str, end: int) -> re.Match[str] | None:
    """Return the line that opened the code block which a place is in."""
    fences = [fence for fence in FENCE.finditer(text) if fence.start() < end]
    return fences[-1] if len(fences) % 2 else None
