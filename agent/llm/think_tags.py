"""Reasoning that a model writes at the beginning of its text, between tags."""

from __future__ import annotations

from typing import Literal

BEGIN = "<think>"
END = "</think>"


class ThinkTags:
    """Tells reasoning from text, piece by piece, wherever the pieces are cut.

    Only tags at the very beginning count, white space before them left aside: what comes later is text. Without its end, all
    of it is reasoning.
    """

    def __init__(self) -> None:
        self._state: Literal["start", "reasoning", "ended", "text"] = "start"
        # What may still become a tag, or white space around one.
        self._held = ""
        self._has_reasoning = False

    def take(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return the reasoning and the text that are certain now."""
        if self._state == "text":
            return "", piece
        self._held += piece
        if self._state == "start":
            begun = self._held.lstrip()
            if begun.startswith(BEGIN):
                self._state, self._held = "reasoning", begun.removeprefix(BEGIN)
            elif not BEGIN.startswith(begun):
                self._state = "text"
        reasoning = self._take_reasoning() if self._state == "reasoning" else ""
        if self._state == "ended":
            self._held = self._held.lstrip()
            self._state = "text" if self._held else "ended"
        return reasoning, self._release() if self._state == "text" else ""

    def flush(self) -> tuple[str, str]:
        """Return what was held back: nothing more comes that could make a tag of it."""
        if self._state == "start":
            self._state = "text"
        held = self._release()
        return (held, "") if self._state == "reasoning" else ("", held)

    def _take_reasoning(self) -> str:
        reasoning, end, rest = self._held.partition(END)
        if end:
            self._state, self._held = "ended", rest
        else:
            kept = next((size for size in range(len(END) - 1, 0, -1) if reasoning.endswith(END[:size])), 0)
            self._held = reasoning[len(reasoning) - kept :]
            reasoning = reasoning[: len(reasoning) - kept]
        if not self._has_reasoning:
            reasoning = reasoning.lstrip()
            self._has_reasoning = bool(reasoning)
        return reasoning

    def _release(self) -> str:
        held, self._held = self._held, ""
        return held
