"""Checks that imports go down only, by ``[tool.layers]`` of pyproject.toml, and that no modules import each other in a circle.

Part of ``make lint``. (import-linter would do, but it takes packages only, and some of our boxes are single files.)
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]


def read_layers(root: Path = ROOT) -> dict[str, int]:
    """Return the level of each box; the highest is 0."""
    order = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["layers"]["order"]
    return {box: level for level, line in enumerate(order) for box in line.split()}


def read_modules(boxes: dict[str, int], root: Path = ROOT) -> dict[str, Path]:
    """Return the files of the boxes by the names of their modules."""
    files = [file for box in boxes for file in (root / f"{box}.py", *(root / box).rglob("*.py")) if file.is_file()]
    names = (".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in files)
    return dict(zip(names, files, strict=True))


def find_imports(text: str, modules: set[str]) -> Iterator[str]:
    """Yield the modules that a module imports, wherever in it: those for type checking alone are arrows too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if found := full if full in modules else node.module if node.module in modules else None:
                    yield found


def find_faults(root: Path = ROOT) -> list[str]:
    """Return what is wrong, a line each."""
    layers = read_layers(root)
    files = read_modules(layers, root)
    imports = {name: set(find_imports(file.read_text(), set(files))) - {name} for name, file in files.items()}
    faults = [
        f"{name} imports {other}, which is not below it"
        for name, found in imports.items()
        for other in sorted(found)
        # A program (`python -m box`) is an entry, whatever box it belongs to.
        if not name.endswith(".__main__")
        and (box := name.split(".")[0]) != (below := other.split(".")[0])
        and layers[box] >= layers[below]
    ]
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as cycle:
        faults.append(f"a circle: {' > '.join(reversed(cycle.args[1]))}")
    return faults


if __name__ == "__main__":
    found = find_faults()
    print(*found, sep="\n", end="\n" if found else "")  # noqa: T201 - its output is what it is for
    sys.exit(bool(found))
