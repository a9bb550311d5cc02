"""What a list of threads shows of a thread's last message."""

from __future__ import annotations

from models import PREVIEW_LENGTH


def preview(content: str) -> str:
    """Return a message's content as one short line."""
    line = " ".join(content[: PREVIEW_LENGTH * 4].split())
    return line if len(line) <= PREVIEW_LENGTH else line[: PREVIEW_LENGTH - 1] + "…"
