"""The pinned requirements: complete, exact, up to date with what they are compiled from, and free of addresses."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = {"app.in": "../requirements.txt", "local.in": "local.txt", "dev.in": "dev.txt"}
# Installed in an environment of its own.
APART = {"checkov.in": "checkov.txt", "load.in": "load.txt"}


def requirements(path: Path) -> list[Requirement]:
    lines = (line.split("#")[0].removesuffix("\\").strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


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
    assert not re.search(r"^-|--(?!hash=)", path.read_text(), re.M)
    for item in requirements(path):
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(item.specifier)), item


@pytest.mark.parametrize("compiled", [*FILES.values(), *APART.values()])
def test_each_pin_has_the_hashes_of_its_files(compiled: str) -> None:
    pinned = re.split(r"^(?=\S)", (ROOT / "requirements" / compiled).read_text(), flags=re.M)[1:]
    assert [item for item in pinned if not re.search(r"--hash=sha256:[0-9a-f]{64}", item)] == []


def test_nothing_is_installed_without_its_hash() -> None:
    installs = [
        line
        for file in ("Makefile", "Dockerfile")
        for line in (ROOT / file).read_text().splitlines()
        if re.search(r"\binstall\b.* -r ", line)
    ]
    assert len(installs) == 5
    assert [line for line in installs if "--require-hashes" not in line] == []


@pytest.mark.parametrize(("source", "compiled"), FILES.items())
def test_the_pins_are_what_the_direct_requirements_need(source: str, compiled: str) -> None:
    folder = ROOT / "requirements"
    direct = applicable(folder / source)
    pinned = pins(folder / compiled)
    assert needed(direct) == set(pinned), "stale: run `make lock`"
    for item in direct:
        assert item.specifier.contains(pinned[canonicalize_name(item.name)]), "stale: run `make lock`"


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
