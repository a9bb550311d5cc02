"""The drawings that the page has: an assistant's examples and tools can show them by name, beside the assistant's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

PAGE = Path(__file__).parents[1] / "web" / "index.html"
SYMBOL = re.compile(r'<symbol id="icon-([a-z0-9-]+)"')


@cache
def page_icons() -> frozenset[str]:
    """Return the names of the page's drawings."""
    return frozenset(SYMBOL.findall(PAGE.read_text(encoding="utf-8")))


def unknown_icon(name: str, own: Iterable[str]) -> str | None:
    """Return what is said of the name of a drawing that neither the page has nor the assistant; ``None`` if it is known."""
    known = page_icons().union(own)
    if name in known:
        return None
    return f"there is no icons/{name}.svg, and none of the page's; there are {', '.join(sorted(known))}"


def fault_of_drawing(svg: str) -> str | None:
    """Return why a file's content cannot be drawn; ``None`` if it is SVG."""
    try:
        root = ElementTree.fromstring(svg)  # noqa: S314 - the operator's own file
    except ElementTree.ParseError as error:
        return f"is no SVG: {error}"
    return None if root.tag.rpartition("}")[2] == "svg" else f"is no SVG: it begins with <{root.tag}>"
