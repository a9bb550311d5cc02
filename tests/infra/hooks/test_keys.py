"""The keys that the hooks make, shown once and kept as hashes."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from identity.api_keys import ApiKeys
from infra.hooks import keys
from settings import ApiKey
from tests.fakes.azure_cli import AzureCli
from tests.infra.hooks.answers import ENVIRONMENT


def stored_keys(environment: dict[str, str]) -> list[ApiKey]:
    assert base64.b64decode(environment["API_KEYS_BASE64"]).decode() == environment["API_KEYS"]
    return [ApiKey.model_validate(each) for each in json.loads(environment["API_KEYS"])]


def test_a_first_key_is_shown_once_and_only_its_hash_is_kept(cli: AzureCli) -> None:
    done = cli.run_program("infra.hooks.preprovision")
    assert done.returncode == 0, done.stderr
    [shown] = re.findall(r"chat_\S+", done.stdout)
    assert shown not in json.dumps(cli.environment)
    found = ApiKeys(stored_keys(cli.environment)).find(shown)
    assert (found.name, found.tenant, found.scopes) == ("first", "demo", ("chat", "admin"))
    again = cli.run("infra.hooks.preprovision")
    assert (again.returncode, again.stdout) == (0, "")


def test_the_test_key_has_a_tenant_of_its_own_and_lives_for_a_week(cli: AzureCli) -> None:
    assert cli.run("infra.hooks.preprovision").returncode == 0
    kept = cli.environment
    key = ApiKeys(stored_keys(kept)).find(kept["CHAT_API_KEY"])
    assert (key.tenant, key.scopes) == ("deploy-test", ("chat",))
    assert key.expires
    assert timedelta(days=6) < key.expires - datetime.now(UTC) <= timedelta(days=7)


def test_a_test_key_that_ends_soon_is_replaced_and_the_others_stay() -> None:
    soon = datetime.now(UTC) + timedelta(hours=3)
    operators = ApiKey(name="web", tenant="acme", sha256="0" * 64)
    old = ApiKey(name="deploy-test", tenant="deploy-test", sha256="1" * 64, expires=soon)
    text = json.dumps([each.model_dump(mode="json", exclude_none=True) for each in (operators, old)])
    changes, shown = keys.updated({**ENVIRONMENT, "API_KEYS": text, "CHAT_API_KEY": "old"}, in_pipeline=True)
    assert shown is None
    assert changes["CHAT_API_KEY"] != "old"
    first, second = stored_keys(changes)
    assert first == operators
    assert second.sha256 != old.sha256
    assert keys.updated({**ENVIRONMENT, **changes}, in_pipeline=True) == ({}, None)


def test_no_first_key_is_made_in_the_log_of_a_pipeline(cli: AzureCli) -> None:
    cli.answers["az account show"] = {"user": {"type": "servicePrincipal"}}
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "stand in the pipeline's log" in done.stderr
    assert cli.environment == ENVIRONMENT


def test_a_pipeline_gives_parameters_as_variables(cli: AzureCli) -> None:
    cli.answers["az account show"] = {"user": {"type": "servicePrincipal"}}
    given = json.dumps([{"name": "web", "tenant": "acme", "sha256": "0" * 64}])
    done = cli.run("infra.hooks.preprovision", API_KEYS=given, TURN_TIMEOUT_SECONDS="0")
    assert "azd env set TURN_TIMEOUT_SECONDS" in done.stderr
    assert cli.run("infra.hooks.preprovision", API_KEYS=given).returncode == 0
    assert [key.name for key in stored_keys(cli.environment)] == ["web", "deploy-test"]


def test_the_key_of_telemetrys_owner_hash_is_made_once(cli: AzureCli) -> None:
    """Audit L12."""
    assert cli.run("infra.hooks.preprovision").returncode == 0
    made = cli.environment["TELEMETRY_HASH_KEY"]
    assert re.fullmatch("[0-9a-f]{64}", made)
    assert cli.run("infra.hooks.preprovision").returncode == 0
    assert cli.environment["TELEMETRY_HASH_KEY"] == made


def test_a_pipeline_takes_the_key_of_telemetrys_owner_hash_and_makes_none(cli: AzureCli) -> None:
    cli.answers["az account show"] = {"user": {"type": "servicePrincipal"}}
    given = json.dumps([{"name": "web", "tenant": "acme", "sha256": "0" * 64}])
    refused = cli.run("infra.hooks.preprovision", API_KEYS=given, TELEMETRY_HASH_KEY="short")
    assert (refused.returncode, "azd env set TELEMETRY_HASH_KEY" in refused.stderr) == (1, True)
    assert "WARNING" not in cli.run("infra.hooks.preprovision", API_KEYS=given, TELEMETRY_HASH_KEY="0" * 64).stdout
    done = cli.run("infra.hooks.preprovision", API_KEYS=given)
    assert done.returncode == 0
    assert "WARNING: TELEMETRY_HASH_KEY is not set" in done.stdout
    assert "TELEMETRY_HASH_KEY" not in cli.environment


def test_no_first_key_is_made_where_users_sign_in() -> None:
    changes, shown = keys.updated({**ENVIRONMENT, "ENTRA_TENANT_IDS": "x"}, in_pipeline=True)
    assert shown is None
    assert [key.tenant for key in stored_keys(changes)] == ["deploy-test"]
    with pytest.raises(keys.KeysError, match="API_KEYS must be"):
        keys.updated({**ENVIRONMENT, "API_KEYS": "secret"}, in_pipeline=False)
