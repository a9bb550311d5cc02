"""What the Bicep CLI makes of ``infra/``, once for all tests of a run: a call takes seconds."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.infra import bicep_cli, snapshots
from tests.infra.snapshots import CHOICES

Resources = list[dict[str, Any]]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Return a folder that all workers of this run have in common."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "bicep"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def only_one_worker(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def bicep() -> None:
    """Skip without a Bicep CLI, and with one whose answers are not those that the tests know."""
    if bicep_cli.command() is None:
        pytest.skip("no Bicep CLI: set BICEP, or put bicep or az on the path")
    if bicep_cli.version() != bicep_cli.VERSION:
        pytest.skip(f"Bicep {bicep_cli.version()}, not {bicep_cli.VERSION}: only the build is checked")


@pytest.fixture(scope="session")
def template(shared: Path) -> dict[str, Any]:
    """Return ``main.bicep`` as an ARM template, with any version of the CLI."""
    if bicep_cli.command() is None:
        pytest.skip("no Bicep CLI: set BICEP, or put bicep or az on the path")
    with only_one_worker(shared):
        path = shared / "main.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else snapshots.compiled(shared)
    return found


@pytest.fixture(scope="session")
def snapshot(bicep: None, shared: Path, template: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    """Return a function that returns what one of the choices would deploy."""

    def taken(choice: str) -> dict[str, Any]:
        with only_one_worker(shared):
            path = shared / f"{choice}.snapshot.json"
            found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else snapshots.take(shared, template, choice)
        return found

    return taken


@pytest.fixture(params=CHOICES)
def choice(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def resources(choice: str, snapshot: Callable[[str], dict[str, Any]]) -> Resources:
    """Return the resources of each choice in turn."""
    found: Resources = snapshot(choice)["predictedResources"]
    return found
