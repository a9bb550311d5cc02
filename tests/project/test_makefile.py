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
