"""The workflows: valid, without a finding of the security linter, and about things that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.bicep_cli import VERSION

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
TOOLS = Path(sys.executable).parent


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def jobs() -> list[tuple[str, dict[str, Any]]]:
    """Return all jobs that have steps of their own, with their workflow's name."""
    found = [(path.name, job) for path in WORKFLOWS for job in yaml.safe_load(path.read_text())["jobs"].values()]
    return [(name, job) for name, job in found if "uses" not in job]


@pytest.mark.parametrize(("schema", "files"), [("github-workflows", WORKFLOWS), ("dependabot", [GITHUB / "dependabot.yml"])])
def test_they_are_valid(schema: str, files: list[Path], tmp_path: Path) -> None:
    check = (TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}")
    assert run(*check, *files).returncode == 0
    (tmp_path / "bad.yml").write_text(files[0].read_text() + "\nnonsense: true\n")
    assert run(*check, tmp_path / "bad.yml").returncode == 1


def test_the_security_linter_finds_nothing(tmp_path: Path) -> None:
    check = (TOOLS / "zizmor", "--offline", "--no-progress", "--persona", "pedantic")
    checked = run(*check, GITHUB)
    assert checked.returncode == 0, checked.stdout
    bad = tmp_path / ".github" / "workflows"
    bad.mkdir(parents=True)
    text = (GITHUB / "workflows" / "ci.yml").read_text()
    (bad / "ci.yml").write_text(text.replace("permissions: {}", "permissions: write-all"))
    assert "excessive-permissions" in run(*check, bad).stdout


def test_actions_are_pinned_to_commits_the_same_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in re.findall(r"uses: (?!\./)(.*)", path.read_text()):
            pinned = re.fullmatch(r"([\w/-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", line)
            assert pinned, line
            pins.setdefault(pinned[1], set()).add(pinned[2])
    assert len(pins) >= 4
    assert all(len(versions) == 1 for versions in pins.values()), pins


def test_every_job_ends_and_may_do_only_what_it_says() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {}
        assert "concurrency" in workflow
    for name, job in jobs():
        assert job["timeout-minutes"] <= 90
        signs_in = {"id-token": "write"} if name == "deploy.yml" else {}
        assert job["permissions"] == {"contents": "read", **signs_in}


def test_a_deployment_waits_for_the_checks_and_does_not_cancel_them() -> None:
    deploy, ci = (yaml.safe_load((GITHUB / "workflows" / name).read_text()) for name in ("deploy.yml", "ci.yml"))
    assert deploy["jobs"]["deploy"]["needs"] == "check"
    assert deploy["jobs"]["check"]["uses"] == "./.github/workflows/ci.yml"
    # YAML takes the key `on` for a boolean.
    assert "workflow_call" in ci[True]
    assert "github.workflow " in ci["concurrency"]["group"].replace("}}", " ")


def test_the_pipeline_has_the_compiler_that_the_tests_know() -> None:
    for name, command in (("ci.yml", "run: .ci/run"), ("nightly.yml", 'run: make "$TARGET"')):
        text = (GITHUB / "workflows" / name).read_text()
        assert re.findall(r"az bicep install --version v(\S+)", text) == [VERSION]
        assert text.index("az bicep install") < text.index(command)


def test_the_long_forms_run_every_night_and_by_hand() -> None:
    nightly = yaml.safe_load((GITHUB / "workflows/nightly.yml").read_text())
    assert {*nightly[True]} == {"schedule", "workflow_dispatch"}


def test_what_they_run_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
    steps = [step["run"] for _, job in jobs() for step in job["steps"] if "run" in step]
    ci, nightly = (yaml.safe_load((GITHUB / f"workflows/{name}.yml").read_text())["jobs"] for name in ("ci", "nightly"))
    short, long = (job["strategy"]["matrix"]["target"] for job in (ci["programs"], nightly["long"]))
    assert {*long} == {"test-long", "chaos", "fuzz", "soak", "bench"}
    assert {*short} == {"soak-short", "bench-short"}
    for target in [*long, *short, *re.findall(r"\bmake ([a-z.]\S+)", "\n".join(steps))]:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target
    files = re.findall(r"(?:^| )((?:tests|scripts|\.ci)/[\w./-]+)", "\n".join(steps), re.MULTILINE)
    assert {"tests/stores/contract", "scripts/try-container.sh", ".ci/run"} <= {*files}
    for file in files:
        assert (ROOT / file).exists(), file


def test_the_emulator_has_tests_to_run() -> None:
    (command,) = [step["run"] for _, job in jobs() for step in job["steps"] if "-k cosmos" in step.get("run", "")]
    arguments = command.partition(" -m pytest ")[2].split()
    collected = run(sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments)
    assert collected.returncode == 0, collected.stdout
    found = int(re.findall(r"(\d+)(?:/\d+)? tests collected", collected.stdout)[0])
    assert found > 50
    assert "[sqlite" not in collected.stdout
