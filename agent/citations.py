"""Sources that tools find, and the marks in an answer's text, such as ``[1]``, that point to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

from models import Citation

# The text of a Markdown link is no mark.
MARK = re.compile(r"\[([1-9][0-9]{0,2})\](?!\()")
SNIPPET_MAX_LENGTH = 1000


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


def citation(index: int, source: Source) -> Citation:
    """Return a source as an answer cites it."""
    return Citation(index=index, id=source.id, title=source.title, url=source.url, snippet=source.snippet[:SNIPPET_MAX_LENGTH])


def cited(text: str, sources: Iterable[Citation]) -> list[Citation]:
    """Return the sources whose marks stand in the text, in the order of their numbers."""
    marked = {int(mark) for mark in MARK.findall(text)}
    return sorted((each for each in sources if each.index in marked), key=lambda each: each.index)
