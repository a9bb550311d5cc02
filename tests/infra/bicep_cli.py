"""The Bicep CLI: where it is found, and what it makes of ``infra/``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

INFRA = Path(__file__).parents[2] / "infra"
# Another version has other warnings, another layout, and evaluates more or less: with it only the build is checked.
VERSION = "0.49.2"
SECONDS = 110


@cache
def command() -> tuple[str, ...] | None:
    """Return how the CLI is called: the program in ``BICEP``, ``bicep`` on the path, or ``az bicep``; ``None`` without any."""
    if path := os.environ.get("BICEP"):
        return (str(Path(path).resolve()),)
    if found := shutil.which("bicep"):
        return (found,)
    if (az := shutil.which("az")) and subprocess.run([az, "bicep", "version"], capture_output=True).returncode == 0:
        return (az, "bicep")
    return None


@cache
def version() -> str | None:
    """Return the CLI's version; ``None`` without one."""
    found = re.search(r"\d+\.\d+\.\d+", run("version" if az() else "--version").stdout) if command() else None
    return found[0] if found else None


def az() -> bool:
    """Whether the CLI is called through ``az``, whose commands name their files with ``--file``."""
    return len(command() or ()) == 2


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the CLI; it needs a home to unpack itself into, and no ICU."""
    called = command()
    assert called, "no Bicep CLI"
    environment = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    return subprocess.run([*called, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS, env=environment)


def build(file: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Compile a file with its modules into an ARM template."""
    return run("build", "--file" if az() else file, *([file] if az() else []), "--outfile", out)


def diagnostics(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the errors and warnings of a run, each with its place, without the folders before ``infra``."""
    lines = (done.stdout + done.stderr).splitlines()
    return [re.sub(r"^\S*/(?=[\w-]+\.bicep)", "", line) for line in lines if re.search(r": (Error|Warning) ", line)]


def lint_all(folder: Path) -> list[str]:
    """Return what the linter says of every file under a folder."""
    return diagnostics(run("lint", "--pattern", f"{folder}/**/*.bicep"))


def format_all(folder: Path) -> None:
    """Format every file under a folder in place."""
    assert run("format", "--pattern", f"{folder}/**/*.bicep").returncode == 0


def snapshot(parameters: Path, *, subscription: str, location: str) -> dict[str, Any]:
    """Evaluate a parameters file without Azure; return ``predictedResources`` and ``outputs``."""
    done = run("snapshot", parameters, "--mode", "overwrite", "--subscription-id", subscription, "--location", location)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(parameters.with_suffix(".snapshot.json").read_text())
    return found
