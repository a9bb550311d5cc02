"""Text that is emitted as it comes in: the answer's, or the thoughts before it."""

from __future__ import annotations

from collections.abc import Callable

from agent.text import CUT_MARK


class EmittedText:
    """Passes pieces on to ``emit``, in paragraphs, as far as ``take`` has room for them: it returns what it takes of a piece.

    What there is no room for is left out, with a mark.
    """

    def __init__(self, take: Callable[[str], str], emit: Callable[[str], None]) -> None:
        self._take = take
        self._emit = emit
        self._has_begun = False
        self._paragraph_ended = False
        self._is_full = False

    def add(self, piece: str) -> None:
        """Pass a piece on."""
        if not piece or self._is_full:
            return
        kept = self._take(piece)
        if kept != piece:
            self._is_full = True
            piece = kept + CUT_MARK
        if self._has_begun and self._paragraph_ended:
            piece = f"\n\n{piece}"
        self._has_begun, self._paragraph_ended = True, False
        self._emit(piece)

    def end_paragraph(self) -> None:
        """Begin a new paragraph with the next piece, if there are any before it."""
        self._paragraph_ended = True
