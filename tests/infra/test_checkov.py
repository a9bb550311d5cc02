"""checkov's policies for Azure: no failed check, and no exception that is not needed any more.

checkov has an environment of its own (`make test` installs it): it pins packages that the app has in other versions.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import only_one_worker

ROOT = Path(__file__).parents[2]
CHECKOV = shutil.which("checkov", path=ROOT / ".venv-checkov/bin") or shutil.which("checkov")
SECONDS = 280
pytestmark = [
    pytest.mark.skipif(CHECKOV is None, reason="needs checkov: `make test` installs it"),
    # About 3 s alone, mostly imports; far more beside a whole test run.
    pytest.mark.timeout(SECONDS + 20),
]


def scan(folder: Path) -> dict[str, Any]:
    """Return checkov's report; it exits with 0 for a file that it cannot parse, so only the report counts."""
    assert CHECKOV
    command = [
        CHECKOV,
        "--directory",
        str(folder),
        "--framework",
        "bicep",
        "--output",
        "json",
        "--skip-download",
        "--soft-fail",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def report(shared: Path) -> dict[str, Any]:
    """Return one report of ``infra/`` and of a folder ``faulty`` in it: its start is what takes the time."""
    with only_one_worker(shared):
        kept = shared / "checkov.json"
        if not kept.exists():
            copy = shared / "checkov"
            shutil.copytree(ROOT / "infra", copy, ignore=shutil.ignore_patterns("__pycache__"))
            text = (copy / "core/database/cosmos-nosql.bicep").read_text()
            (copy / "faulty").mkdir()
            (copy / "faulty/open.bicep").write_text(text.replace("disableLocalAuth: true", "disableLocalAuth: false"))
            (copy / "faulty/broken.bicep").write_text("resource r 'A/b@1' = {\n")
            kept.write_text(json.dumps(scan(copy)))
        found: dict[str, Any] = json.loads(kept.read_text())
    return found


def failed(report: dict[str, Any], *, faulty: bool) -> list[tuple[str, str]]:
    """Return the failed checks of what is faulty on purpose, or of all the rest."""
    found = report["results"]["failed_checks"]
    return [(each["check_id"], each["resource"]) for each in found if each["file_path"].startswith("/faulty/") == faulty]


def test_nothing_fails_and_every_exception_is_needed(report: dict[str, Any]) -> None:
    assert [Path(file).name for file in report["results"]["parsing_errors"]] == ["broken.bicep"]
    assert failed(report, faulty=False) == []
    for path in (ROOT / "infra").rglob("*.bicep"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if argued := re.search(r"// checkov:skip=(\w+):\w", line):
                assert any(
                    check["file_path"] == f"/{path.relative_to(ROOT / 'infra')}"
                    and check["check_id"] == argued[1]
                    and check["file_line_range"][0] <= number <= check["file_line_range"][1]
                    for check in report["results"]["skipped_checks"]
                ), f"{path.name}:{number} {argued[1]} is not needed"


def test_a_failed_policy_and_a_syntax_error_are_found(report: dict[str, Any]) -> None:
    assert report["summary"]["parsing_errors"] == 1
    assert "CKV_AZURE_140" in {check for check, _ in failed(report, faulty=True)}
