"""The house's rules that no linter knows: the core knows no sample."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED_BY_OTHERS = ("web/vendor/", "web/docs/")
SAMPLE = re.compile(r"weather|northpeak", re.I)
OF_THE_SAMPLE = (
    "assistant/",
    "tools/weather",
    "tests/assistant/",
    "tests/tools/test_weather.py",
    "tests/fakes/weather.py",
    "infra/main.parameters.json",
    # What an earlier version stored, and the words that must not be found.
    "tests/data/",
    "tests/web/test_another_assistant.py",
    "tests/project/test_house.py",
)


def sources(*endings: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of the repository that are ours, with their names from its root on."""
    for top in ROOT.iterdir():
        if top.name.startswith(".") or top.name == "node_modules":
            continue
        for path in [top] if top.is_file() else top.rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in endings and path.is_file() and not name.startswith(SHIPPED_BY_OTHERS):
                yield name, path


def test_the_core_knows_no_sample() -> None:
    """What the sample assistant says, finds and calls is in its own files: others put theirs in its place."""
    endings = (".py", ".js", ".html", ".css", ".bicep", ".json", ".toml", ".kql", ".http")
    found = {
        name
        for name, path in sources(*endings)
        if name != "demo.http" and not name.startswith(OF_THE_SAMPLE) and SAMPLE.search(path.read_text())
    }
    assert found == set()
