"""What tools have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an answer can cite. A tool that returns a list of these shows the model each with its ``index``."""

    id: str
    title: str
    url: str | None
    snippet: str


def are_sources(result: Any) -> TypeGuard[list[Source]]:
    """Tell whether a tool's result is a list of sources."""
    return isinstance(result, list) and all(isinstance(each, Source) for each in result)
