"""The process of a Functions worker, which loading an app changes: where modules come from, and where log lines go."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from observability.logs import REQUEST_LOGGER

# A new worker is told its app at once; one that has waited for an app has its environment replaced.
Start = Literal["init", "reload"]


@contextmanager
def own_logging() -> Iterator[None]:
    """Undo what a function app does to the process's log lines."""
    root = logging.getLogger()
    requests = logging.getLogger(REQUEST_LOGGER)
    level, handlers = root.level, [(handler, handler.formatter) for handler in root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        requests.setLevel(logging.NOTSET)
        root.handlers = [handler for handler, _ in handlers]
        for handler, formatter in handlers:
            handler.setFormatter(formatter)


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Hide packages that are not deployed (requirements.txt): uvicorn takes what it finds."""
    there = {name: sys.modules.get(name) for name in packages}
    sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]  # None: not to be imported
    try:
        yield
    finally:
        for name, module in there.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def search_path(folder: Path, start: Start) -> list[str]:
    """Return where modules are looked for: a reload appends the app's folder behind the packages itself."""
    packages = [path for path in sys.path if path != str(folder)]
    return [str(folder), *packages] if start == "init" else packages
