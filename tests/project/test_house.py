"""The house's rules that no linter knows: short files and functions, tests that stand alone, a core that knows no sample."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES_OF_A_FILE = 300
LINES_OF_A_FUNCTION = 43
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


def modules(folder: str = "") -> Iterator[tuple[str, ast.Module]]:
    return ((name, ast.parse(path.read_text())) for name, path in sources(".py") if name.startswith(folder))


def test_files_are_short() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in sources(".py", ".js", ".mjs", ".css", ".html")}
    assert len(lengths) > 500
    assert {name: length for name, length in lengths.items() if length > LINES_OF_A_FILE} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{name}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 3000
    assert {name: length for name, length in lengths.items() if length > LINES_OF_A_FUNCTION} == {}


def imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_test_imports_another() -> None:
    found = {name for name, module in modules("tests/") if any(re.search(r"\.test_\w", other) for other in imported(module))}
    assert found == set()


def sleeps(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    if called.endswith(".wait_for_timeout"):
        return True
    return called in ("asyncio.sleep", "time.sleep") and ast.unparse(call.args[0]) != "0"


def patches_a_constant(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".setattr"):
        patched = " ".join(each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str))
        return bool(re.search(r"(^|\.)[A-Z][A-Z0-9_]+$", patched))
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Attribute) and target.attr.isupper() for target in targets)


def test_no_test_sleeps_or_patches_a_constant() -> None:
    """Intervals, limits and clocks are arguments; programs may take theirs as they find them."""
    found = {
        name
        for name, module in modules("tests/")
        for node in ast.walk(module)
        if not name.startswith("tests/programs/")
        and (patches_a_constant(node) or ("/fakes/" not in name and isinstance(node, ast.Call) and sleeps(node)))
    }
    assert found == set()


def test_the_core_knows_no_sample() -> None:
    """What the sample assistant says, finds and calls is in its own files: others put theirs in its place."""
    endings = (".py", ".js", ".html", ".css", ".bicep", ".json", ".toml", ".kql", ".http")
    found = {
        name
        for name, path in sources(*endings)
        if name != "demo.http" and not name.startswith(OF_THE_SAMPLE) and SAMPLE.search(path.read_text())
    }
    assert found == set()
