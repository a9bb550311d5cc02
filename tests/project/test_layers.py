"""The order of imports, and that a fault in it is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.check_layers import ROOT, find_faults, read_layers

PROJECT = """
[tool.layers]
order = ["entry", "middle", "bottom"]
"""
SOURCES = {
    "entry.py": "import middle.part",
    "middle/__init__.py": "",
    "middle/part.py": "from bottom import thing",
    "middle/other.py": "from middle import part",
    "bottom.py": "",
}


def test_every_box_has_a_place() -> None:
    apart = {"tests", "infra", "scripts", "node_modules"}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - apart
    modules = {path.stem for path in ROOT.glob("*.py")}
    assert packages | modules == set(read_layers())


def picture(document: str) -> str:
    found = re.search(r"^```\n( entries .*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_picture_has_every_box_in_the_order_of_the_imports() -> None:
    assert picture("README.md") == picture("docs/architecture.md")
    rows = picture("README.md").splitlines()
    # `dev.py` starts an entry, and is none of them.
    boxes = sorted(read_layers().items(), key=lambda box: box[1])[1:]
    shown = [[number for number, row in enumerate(rows) if re.search(rf"\b{box}(/|\.py)", row)] for box, _ in boxes]
    assert all(len(places) == 1 for places in shown), dict(zip(boxes, shown, strict=True))
    assert shown == sorted(shown)


UPWARD = "bottom imports {}, which is not below it"


@pytest.mark.parametrize(
    ("file", "text", "faults"),
    [
        ("entry.py", "import middle.part", []),
        ("bottom.py", "import entry", [UPWARD.format("entry"), "a circle: "]),
        ("bottom.py", "def late():\n    from middle.part import x", [UPWARD.format("middle.part"), "a circle: "]),
        ("middle/part.py", "from middle.other import x", ["a circle: middle."]),
    ],
)
def test_faults_are_found(tmp_path: Path, file: str, text: str, faults: list[str]) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "middle").mkdir()
    for name, source in {**SOURCES, file: text}.items():
        (tmp_path / name).write_text(source)
    found = find_faults(tmp_path)
    assert len(found) == len(faults)
    assert all(fault.startswith(expected) for fault, expected in zip(found, faults, strict=True)), found
