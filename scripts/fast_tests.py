"""Prints the tests of what has changed since the last commit, or in it: ``make test-fast`` runs them.

Tests lie as the code does: those of ``turns/lease.py`` are in ``tests/turns``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePath

ROOT = Path(__file__).parents[1]
# What has no folder of its own, and what else is to be tried.
ELSEWHERE = {
    "function_app.py": ["tests/functions"],
    "cosmos_store.py": ["tests/stores/cosmos"],
    "stores/cosmos": ["tests/stores/contract"],
    "stores/sqlite": ["tests/stores/contract"],
    "events.py": ["tests/turns"],
    "models.py": ["tests/turns"],
    "records.py": ["tests/turns"],
    "assistant": ["tests/assistant"],
    "docs": ["tests/project"],
    "examples": ["tests/project"],
    "scripts": ["tests/project"],
    ".github": ["tests/project"],
    "README.md": ["tests/project"],
    "CONTRIBUTING.md": ["tests/project"],
    "Makefile": ["tests/project"],
}
# They run in seconds, and a fault in any of the boxes below a turn is seen there.
DEFAULT = ["tests/agent"]


def find_tests(path: str) -> set[str]:
    """Return the tests of one file: its folder's, or its own."""
    file = PurePath(path)
    found = {each for start, tests in ELSEWHERE.items() if file.is_relative_to(start) for each in tests}
    if file.parts[0] == "tests":
        folder = "tests" if len(file.parts) == 2 else file.parent.as_posix()
        own = path if file.name.startswith("test_") and (ROOT / path).exists() else folder
        return found | {own} - {"tests", "tests/support", "tests/fakes"}
    for place in (file, *file.parents)[:-1]:
        for name in (f"tests/{place.as_posix()}", f"tests/test_{place.stem}.py"):
            if (ROOT / name).exists():
                return found | {name}
    return found


def fast_tests(paths: Iterable[str]) -> list[str]:
    """Return the tests of all files, without those that are in a folder which is there, too."""
    found = set().union(*(find_tests(path) for path in paths))
    return sorted(each for each in found if not found & {parent.as_posix() for parent in PurePath(each).parents}) or DEFAULT


def changed_files() -> list[str]:
    """Return the files that differ from the last commit, or where none does, from the one before it."""
    changed = _git("diff", "--name-only", "-z", "HEAD") + _git("ls-files", "--others", "--exclude-standard", "-z")
    return changed or _git("diff", "--name-only", "-z", "HEAD~1", "HEAD")


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return [path for path in done.stdout.split("\0") if path]


if __name__ == "__main__":
    sys.stdout.write(" ".join(fast_tests(changed_files())))
