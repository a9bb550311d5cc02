"""Citations: the marks in a reply's text, such as ``[1]``, and the sources that they point to."""

from __future__ import annotations

import re
from collections.abc import Iterable

from models import Citation

# The text of a Markdown link is no mark.
MARK = re.compile(r"\[([1-9][0-9]{0,2})\](?!\()")


def cited(text: str, sources: Iterable[Citation]) -> list[Citation]:
    """Return the sources whose marks stand in the text, in the order of their numbers."""
    marked = {int(mark) for mark in MARK.findall(text)}
    return sorted((each for each in sources if each.index in marked), key=lambda each: each.index)
