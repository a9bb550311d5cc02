"""The pinned requirements: complete, exact, up to date with what they are compiled from, and free of addresses."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = {"app.in": "../requirements.txt", "local.in": "local.txt", "dev.in": "dev.txt"}
# Installed in an environment of its own.
APART = {"checkov.in": "checkov.txt", "load.in": "load.txt", "audit.in": "audit.txt"}
HASH = re.compile(r" --hash=sha256:[0-9a-f]{64}\b")


def lines(path: Path) -> list[str]:
    """Return a file's lines as pip reads them."""
    joined = re.sub(r" \\\n +", " ", path.read_text())
    found = (line.split("#")[0].strip() for line in joined.splitlines())
    return [line for line in found if line]


def requirements(path: Path) -> list[Requirement]:
    return [Requirement(HASH.sub("", line)) for line in lines(path) if not line.startswith("-")]


def applicable(path: Path, extra: str = "") -> list[Requirement]:
    return [item for item in requirements(path) if item.marker is None or item.marker.evaluate({"extra": extra})]


def pins(path: Path) -> dict[str, str]:
    return {canonicalize_name(item.name): next(iter(item.specifier)).version for item in applicable(path)}


def needed(direct: list[Requirement]) -> set[str]:
    """Return the names of all packages that the direct ones need here, themselves included."""
    found: set[tuple[str, str]] = set()
    waiting = [(item, extra) for item in direct for extra in ("", *item.extras)]
    while waiting:
        item, extra = waiting.pop()
        name = canonicalize_name(item.name)
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for line in metadata.requires(name) or []:
            child = Requirement(line)
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                waiting += [(child, child_extra) for child_extra in ("", *child.extras)]
    return {name for name, _ in found}


@pytest.mark.parametrize("compiled", [*FILES.values(), *APART.values()])
def test_the_pins_are_exact_and_name_no_registry(compiled: str) -> None:
    path = ROOT / "requirements" / compiled
    assert "://" not in path.read_text()
    assert [line for line in lines(path) if line.startswith("-")] == []
    for item in requirements(path):
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(item.specifier)), item


@pytest.mark.parametrize("compiled", [*FILES.values(), *APART.values()])
def test_every_pin_has_hashes(compiled: str) -> None:
    """Audit L9."""
    for line in lines(ROOT / "requirements" / compiled):
        assert HASH.search(line), line


def test_whatever_installs_pins_requires_their_hashes() -> None:
    """Audit L9. Azure's own build runs plain pip, which requires them as soon as a file has any."""
    named = ("Makefile", "Dockerfile", ".ci/run", "infra/hooks/prepare.ps1")
    files = [*(ROOT / name for name in named), *(ROOT / ".github" / "workflows").glob("*.yml")]
    text = "\n".join(path.read_text() for path in files)
    installing = [line for line in re.sub(r"\\\n", " ", text).splitlines() if re.search(r"\bpip\b.* install\b", line)]
    assert len(installing) >= 3
    assert [line for line in installing if "--require-hashes" not in line] == []
    assert re.search(r"^LOCK := .* --generate-hashes", text, re.MULTILINE)


@pytest.mark.parametrize("pins", ["requirements.txt", "requirements/*.txt", "package-lock.json"])
def test_known_vulnerabilities_are_looked_for_each_night_and_when_pins_change(pins: str) -> None:
    """Audit L9."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "audit.yml").read_text())
    # YAML takes the key `on` for a boolean.
    events = workflow[True]
    assert events["schedule"]
    assert pins in events["push"]["paths"]
    assert pins in events["pull_request"]["paths"]
    assert "make audit" in [step.get("run") for step in workflow["jobs"]["audit"]["steps"]]


@pytest.mark.parametrize(("source", "compiled"), FILES.items())
def test_the_pins_are_what_the_direct_requirements_need(source: str, compiled: str) -> None:
    folder = ROOT / "requirements"
    direct = applicable(folder / source)
    pinned = pins(folder / compiled)
    assert needed(direct) == set(pinned), "stale: run `make lock`"
    for item in direct:
        assert item.specifier.contains(pinned[canonicalize_name(item.name)]), "stale: run `make lock`"


def test_whatever_the_app_imports_is_pinned_for_it() -> None:
    """Beside the app, this environment has what `make check` needs: it would be missing on Azure only."""
    folders = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in {"tests", "scripts", "infra"}]
    files = [ROOT / "function_app.py", *ROOT.glob("*_store.py"), *(each for folder in folders for each in folder.rglob("*.py"))]
    imported = {name.partition(".")[0] for path in files for name in imports_of(path)}
    own = {path.stem for path in ROOT.iterdir()} | set(sys.stdlib_module_names)
    pinned = set(pins(ROOT / "requirements.txt"))
    owners = metadata.packages_distributions()
    assert "fastapi" in imported
    missing = [name for name in imported - own if pinned.isdisjoint(map(canonicalize_name, owners.get(name, [])))]
    assert missing == []


def imports_of(path: Path) -> list[str]:
    """Return the names of the modules that a file imports, in its functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]


@pytest.mark.parametrize(("source", "compiled"), APART.items())
def test_what_is_installed_apart_is_pinned(source: str, compiled: str) -> None:
    pinned = {canonicalize_name(item.name) for item in requirements(ROOT / "requirements" / compiled)}
    assert {canonicalize_name(item.name) for item in requirements(ROOT / "requirements" / source)} <= pinned


@pytest.mark.parametrize("compiled", FILES.values())
def test_what_is_installed_is_what_is_pinned(compiled: str) -> None:
    pinned = pins(ROOT / "requirements" / compiled)
    assert pinned == {name: metadata.version(name) for name in pinned}, "run `make clean` and again"


def test_node_packages_are_locked_without_addresses() -> None:
    assert "resolved" not in (ROOT / "package-lock.json").read_text()
