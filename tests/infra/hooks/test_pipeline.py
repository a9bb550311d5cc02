"""GitHub's variables on their way to azd."""

from __future__ import annotations

import json
import re
from pathlib import Path

from infra.hooks import pipeline
from tests.fakes.azure_cli import AzureCli
from tests.infra.hooks.answers import ENVIRONMENT

ROOT = Path(__file__).parents[3]
# By the workflow: an environment's choice, and secrets.
GIVEN = {"ENVIRONMENT_TYPE", "EXISTING_REDIS_URL", "TELEMETRY_HASH_KEY"}


def test_choices_become_values_of_the_environment_and_other_variables_do_not(cli: AzureCli) -> None:
    given = {"DEPLOY_BOT": "true", "ENTRA_AUTH": "true", "CORS_ORIGINS": "https://a.example.com", "DEPLOY": "true"}
    done = cli.run_program("infra.hooks.pipeline", VARIABLES=json.dumps({**given, "AZURE_CLIENT_ID": "x"}))
    assert done.returncode == 0, done.stderr
    del given["DEPLOY"]
    assert cli.environment == {**ENVIRONMENT, **given}


def test_without_variables_nothing_is_set(cli: AzureCli) -> None:
    assert cli.run("infra.hooks.pipeline").returncode == 0
    assert cli.environment == ENVIRONMENT


def test_every_documented_choice_can_be_a_variable_or_is_given_by_the_workflow() -> None:
    table = (ROOT / "docs/deployment.md").read_text().partition("## Choices")[2].partition("\n## ")[0]
    documented = {
        name
        for line in table.splitlines()
        if line.startswith("|")
        for name in re.findall(r"`([A-Z_]{5,})`", line.split("|")[1])
    }
    assert len(documented) > 30
    assert documented <= pipeline.choices() | GIVEN
    workflow = (ROOT / ".github/workflows/deploy.yml").read_text()
    given = set(re.findall(r"^ +([A-Z_]+): ", workflow, re.MULTILINE))
    assert {*GIVEN, "AZURE_PRINCIPAL_TYPE", "API_KEYS", "VARIABLES"} <= given
