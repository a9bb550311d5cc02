"""What follows provisioning and deploying."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.hooks.local_files import merge_env, merge_local_settings
from infra.hooks.postprovision import OUTPUTS as NAMES
from tests.fakes.azure_cli import AzureCli
from tests.infra.hooks.answers import ENVIRONMENT, OUTPUTS

ROOT = Path(__file__).parents[3]
# Nothing is left over.
ANSWERS: dict[str, Any] = {"az resource list": [], "az lock list": [], "az identity list": []}


def test_local_files_are_written_and_what_the_user_chose_is_kept(tmp_path: Path) -> None:
    cli = AzureCli(tmp_path, {**ENVIRONMENT, **OUTPUTS}, ANSWERS)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".env").write_text("# mine\nPORT=8000\nAZURE_OPENAI_MODEL=other\n")
    done = cli.run_program("infra.hooks.postprovision", str(folder))
    assert done.returncode == 0, done.stderr
    lines = (folder / ".env").read_text().splitlines()
    assert lines[:3] == ["# mine", "PORT=8000", "AZURE_OPENAI_MODEL=other"]
    assert lines[3:] == [f"{name}={OUTPUTS[output]}" for name, output in NAMES.items() if name != "AZURE_OPENAI_MODEL"]
    assert "yours was kept: AZURE_OPENAI_MODEL" in done.stdout
    values = json.loads((folder / "local.settings.json").read_text())["Values"]
    assert values["COSMOS_ENDPOINT"] == OUTPUTS["COSMOS_ENDPOINT"]
    assert values["FUNCTIONS_WORKER_RUNTIME"] == "python"
    before = (folder / ".env").read_text()
    assert cli.run("infra.hooks.postprovision", str(folder)).returncode == 0
    assert (folder / ".env").read_text() == before


def test_each_file_is_merged_by_itself(tmp_path: Path) -> None:
    values = {"COSMOS_ENDPOINT": "new", "COSMOS_DATABASE": "deployed"}
    assert merge_env(tmp_path / ".env", values) == []
    example = ROOT / "local.settings.json.example"
    own = tmp_path / "local.settings.json"
    own.write_text(
        json.dumps({"Values": {"COSMOS_ENDPOINT": "mine", "COSMOS_DATABASE": "chat_db", "X": "y"}, "Host": {"a": 1}})
    )
    assert merge_local_settings(own, example, values) == ["COSMOS_ENDPOINT"]
    document = json.loads(own.read_text())
    assert document == {"Values": {"COSMOS_ENDPOINT": "mine", "COSMOS_DATABASE": "deployed", "X": "y"}, "Host": {"a": 1}}


@pytest.mark.parametrize("change", [{"PRIVATE_NETWORK": "True"}, {"ENVIRONMENT_TYPE": "prod"}])
def test_nothing_is_written_where_the_data_cannot_be_reached(tmp_path: Path, change: dict[str, str]) -> None:
    cli = AzureCli(tmp_path, {**ENVIRONMENT, **OUTPUTS, **change}, ANSWERS)
    folder = tmp_path / "project"
    folder.mkdir()
    assert cli.run("infra.hooks.postprovision", str(folder)).returncode == 0
    assert list(folder.iterdir()) == []


def test_the_deploy_test_gets_address_and_key(tmp_path: Path) -> None:
    cli = AzureCli(tmp_path, {**ENVIRONMENT, **OUTPUTS, "CHAT_API_KEY": "chat_k"}, {})
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "pytest.py").write_text(
        "import os, sys\nprint(sys.argv[1:], os.environ['BASE_URL'], os.environ['CHAT_API_KEY'])\nsys.exit(3)"
    )
    done = cli.run_program("infra.hooks.postdeploy", PYTHONPATH=str(plugin), PYTHONSAFEPATH="")
    assert done.returncode == 3
    assert done.stdout.split() == ["['tests/deploy']", OUTPUTS["BASE_URL"], "chat_k"]


def test_the_deploy_test_needs_something_that_is_deployed(cli: AzureCli) -> None:
    done = cli.run_program("infra.hooks.postdeploy")
    assert done.returncode == 1
    assert "run azd provision first" in done.stderr


def test_a_second_provisioning_closes_what_the_first_left_open(tmp_path: Path) -> None:
    values = {**ENVIRONMENT, **OUTPUTS, "USE_PRIVATE_NETWORK": "true", "PRIVATE_NETWORK": "True", "KEEP_PUBLIC_ACCESS": "true"}
    done = AzureCli(tmp_path, values, ANSWERS).run("infra.hooks.postprovision", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "azd provision closes them" in done.stdout
