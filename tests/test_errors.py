"""The tree of errors in the package's docstring is the one that there is."""

from __future__ import annotations

import re

import errors
from errors import ChatError


def tree(cls: type[ChatError], depth: int = 0) -> dict[str, int]:
    """Return how deep each class below one stands."""
    return {cls.__name__: depth, **{name: at for sub in cls.__subclasses__() for name, at in tree(sub, depth + 1).items()}}


def test_the_docstring_shows_every_error_with_its_status_and_type() -> None:
    lines = re.findall(r"^    ([│├└─ ]*)(\w+)(?: +(\d{3})  (\w+))?", errors.__doc__ or "", re.MULTILINE)
    shown = {name: len(stem) // 4 for stem, name, _, _ in lines if name not in ("ToolError", "ChatError")}
    ours = {name: depth for name, depth in tree(ChatError).items() if hasattr(errors, name) and name != "ChatError"}
    assert shown == ours
    for _, name, status, type in lines:
        if status:
            error = getattr(errors, name)
            assert (error.status, error.type) == (int(status), type), name
    assert set(errors.__all__) == {*ours, "ChatError", "ToolError"}
