"""The commands of the Makefile, where they are more than one program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MYPY = """#!/bin/sh
case "$*" in *3.11*) version=3.11 ;; *) version=3.13 ;; esac
echo "checked for $version"
test "$version" != "$FAILS"
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("fails", ["", "3.11", "3.13"])
def test_types_fail_if_either_python_fails(tmp_path: Path, fails: str) -> None:
    (tmp_path / "bin").mkdir()
    mypy = tmp_path / "bin/mypy"
    mypy.write_text(MYPY)
    mypy.chmod(0o755)
    command = ["make", "--no-print-directory", "types", f"VENV={tmp_path}", "-o", f"{tmp_path}/dev-ready"]
    done = subprocess.run(command, cwd=ROOT, env={"FAILS": fails, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert (done.returncode != 0) == bool(fails)
    assert done.stdout.splitlines() == ["checked for 3.13", "Python 3.11:", "checked for 3.11"]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_id_of_a_teams_package_is_no_setting(tmp_path: Path) -> None:
    """Make exports what its command line sets, and without BOT_TENANT_ID it would be refused."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python"
    python.write_text('#!/bin/sh\necho "$@"\nenv | grep ^BOT_\nexit 0\n')
    python.chmod(0o755)
    variables = ("BOT_APP_ID=8a1c", "DOMAIN=chat.example", f"VENV={tmp_path}")
    command = ["make", "--no-print-directory", "teams-package", *variables, "-o", f"{tmp_path}/run-ready"]
    environment = {"PATH": "/usr/bin:/bin", "BOT_TENANT_ID": "half"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "-m scripts.teams_package 8a1c chat.example\n"
