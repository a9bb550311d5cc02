"""The azd hooks, run as azd runs them, with fake ``az`` and ``azd`` programs on the PATH."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from identity.api_keys import ApiKeys
from infra.hooks import azure_checks, keys
from infra.hooks.parameters import resolve
from infra.hooks.postprovision import NAMES, merge_env, merge_local_settings
from settings import ApiKey
from tests.fakes.azure_cli import AzureCli

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"AZURE_ENV_NAME": "demo", "AZURE_LOCATION": "westeurope", "AZURE_SUBSCRIPTION_ID": "sub-1"}
OUTPUTS = {
    "SERVICE_API_NAME": "func-x",
    "BASE_URL": "https://func-x.azurewebsites.net",
    "PRIVATE_NETWORK": "False",
    "COSMOS_ENDPOINT": "https://x.documents.azure.com:443/",
    "COSMOS_DATABASE": "chat_db",
    "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com/",
    "AZURE_OPENAI_MODEL": "chat",
}
MODEL = {
    "kind": "OpenAI",
    "model": {
        "name": "gpt-5-mini",
        "version": "2025-08-07",
        "capabilities": {"chatCompletion": "true"},
        "skus": [{"name": "GlobalStandard"}],
    },
}
ALL_PROVIDERS = [
    *azure_checks.PROVIDERS,
    *azure_checks.NETWORK_PROVIDERS,
    *azure_checks.REDIS_PROVIDERS,
    *azure_checks.BOT_PROVIDERS,
]


def good_answers() -> dict[str, Any]:
    return {
        "az account show": {"id": "sub-1", "user": {"type": "user"}},
        "azd auth login --check-status": {"status": "success"},
        "az provider list": list(ALL_PROVIDERS),
        "az functionapp list-flexconsumption-locations": [{"name": "West Europe"}, {"name": "eastus"}],
        "az functionapp list-flexconsumption-runtimes": [{"version": "3.12"}, {"version": "3.13"}],
        "az cognitiveservices model list": [MODEL],
        "az cognitiveservices usage list": [
            {"name": {"value": "OpenAI.GlobalStandard.gpt-5-mini"}, "currentValue": 50.0, "limit": 150.0}
        ],
        "az cognitiveservices account deployment list": [{"name": "chat"}],
    }


@pytest.fixture
def cli(tmp_path: Path) -> AzureCli:
    return AzureCli(tmp_path, dict(ENVIRONMENT), good_answers())


def stored_keys(environment: dict[str, str]) -> list[ApiKey]:
    assert base64.b64decode(environment["API_KEYS_BASE64"]).decode() == environment["API_KEYS"]
    return [ApiKey.model_validate(each) for each in json.loads(environment["API_KEYS"])]


def test_a_first_key_is_shown_once_and_only_its_hash_is_kept(cli: AzureCli) -> None:
    done = cli.run("infra.hooks.preprovision")
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


def test_no_first_key_is_made_where_users_sign_in() -> None:
    changes, shown = keys.updated({**ENVIRONMENT, "ENTRA_TENANT_IDS": "x"}, in_pipeline=True)
    assert shown is None
    assert [key.tenant for key in stored_keys(changes)] == ["deploy-test"]
    with pytest.raises(keys.KeysError, match="API_KEYS must be"):
        keys.updated({**ENVIRONMENT, "API_KEYS": "secret"}, in_pipeline=False)


@pytest.mark.parametrize(
    ("command", "answer", "text", "mended_by"),
    [
        ("az account show", "fails", "The Azure CLI cannot be used", "az login"),
        ("azd auth login --check-status", {"status": "unauthenticated"}, "azd is not signed in", "azd auth login"),
        (
            "az provider list",
            [each for each in ALL_PROVIDERS if each != "Microsoft.DocumentDB"],
            "Microsoft.DocumentDB is not registered",
            "az provider register --namespace Microsoft.DocumentDB --subscription sub-1 --wait",
        ),
        (
            "az functionapp list-flexconsumption-locations",
            [{"name": "eastus"}],
            "not in westeurope, but in: eastus",
            "azd env set AZURE_LOCATION",
        ),
        (
            "az functionapp list-flexconsumption-runtimes",
            [{"version": "3.12"}],
            "Python 3.13 is not in westeurope yet, only 3.12",
            "azd env set AZURE_LOCATION",
        ),
        ("az cognitiveservices model list", [], "has no model gpt-5-mini", "azd env set OPENAI_MODEL_NAME"),
        (
            "az cognitiveservices model list",
            [{"kind": "OpenAI", "model": {**MODEL["model"], "version": "2027-01-01"}}],  # type: ignore[dict-item]
            "no version 2025-08-07",
            "azd env set OPENAI_MODEL_VERSION 2027-01-01",
        ),
        (
            "az cognitiveservices model list",
            [{"kind": "OpenAI", "model": {**MODEL["model"], "skus": [{"name": "Standard"}]}}],  # type: ignore[dict-item]
            "cannot be deployed as GlobalStandard in westeurope, but as: Standard",
            "azd env set OPENAI_SKU",
        ),
        (
            "az cognitiveservices usage list",
            [{"name": {"value": "OpenAI.GlobalStandard.gpt-5-mini"}, "currentValue": 90.0, "limit": 150.0}],
            "has 60 thousand tokens a minute left; 100 are wanted",
            "azd env set OPENAI_CAPACITY 60",
        ),
        ("az cognitiveservices usage list", [], "has 0 thousand", "ask for quota"),
    ],
)
def test_what_would_fail_is_named_with_the_command_that_mends_it(
    cli: AzureCli, command: str, answer: Any, text: str, mended_by: str
) -> None:
    cli.answers[command] = answer
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert text in done.stderr
    assert f"    {mended_by}" in done.stderr or mended_by in done.stderr.splitlines()[-1]
    assert "chat_" not in done.stdout
    # Nothing is kept of a key that nobody has seen.
    assert cli.environment == ENVIRONMENT


def test_settings_that_the_app_would_refuse_are_found_before_anything_is_deployed(tmp_path: Path) -> None:
    cli = AzureCli(tmp_path, {**ENVIRONMENT, "TURN_TIMEOUT_SECONDS": "0", "CORS_ORIGINS": "example.com"}, good_answers())
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "azd env set TURN_TIMEOUT_SECONDS" in done.stderr
    assert "azd env set CORS_ORIGINS" in done.stderr


def test_an_existing_account_is_asked_for_its_deployment_and_no_quota_is_needed(tmp_path: Path) -> None:
    cli = AzureCli(tmp_path, {**ENVIRONMENT, "EXISTING_OPENAI_NAME": "ours", "AZURE_OPENAI_MODEL": "gpt"}, good_answers())
    del cli.answers["az cognitiveservices usage list"]
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "ours has no deployment gpt, but: chat" in done.stderr
    [asked] = [each for each in cli.asked if "deployment" in each]
    assert asked[asked.index("--resource-group") + 1] == "rg-demo"


def test_a_deployed_model_is_not_counted_against_the_quota_again(tmp_path: Path) -> None:
    cli = AzureCli(tmp_path, {**ENVIRONMENT, **OUTPUTS}, good_answers())
    cli.answers["az cognitiveservices usage list"] = []
    assert cli.run("infra.hooks.preprovision").returncode == 0


def test_a_budget_begins_in_the_month_in_which_it_is_made_and_stays_there(tmp_path: Path) -> None:
    cli = AzureCli(tmp_path, {**ENVIRONMENT, "BUDGET_AMOUNT": "50"}, good_answers())
    assert cli.run("infra.hooks.preprovision").returncode == 0
    assert re.fullmatch(r"20\d\d-\d\d-01", cli.environment["BUDGET_START_DATE"])
    old = tmp_path / "old"
    old.mkdir()
    cli = AzureCli(old, {**ENVIRONMENT, "BUDGET_AMOUNT": "50", "BUDGET_START_DATE": "2026-01-01"}, good_answers())
    assert cli.run("infra.hooks.preprovision").returncode == 0
    assert cli.environment["BUDGET_START_DATE"] == "2026-01-01"


def test_providers_depend_on_what_is_deployed(tmp_path: Path) -> None:
    chosen = {"ENVIRONMENT_TYPE": "prod", "DEPLOY_REDIS": "true", "DEPLOY_BOT": "true"}
    cli = AzureCli(tmp_path, {**ENVIRONMENT, **chosen}, good_answers())
    cli.answers["az provider list"] = list(azure_checks.PROVIDERS)
    done = cli.run("infra.hooks.preprovision")
    missing = ["Microsoft.App", "Microsoft.Network", "Microsoft.Cache", "Microsoft.BotService"]
    assert re.findall(r"provider (\S+) is not", done.stderr) == missing


def test_the_providers_are_those_of_the_infrastructure() -> None:
    files = [path.read_text() for path in (ROOT / "infra").rglob("*.bicep")]
    used = {name for text in files for name in re.findall(r"^resource \w+ '([\w.]+)/", text, re.MULTILINE)}
    assert used | {"Microsoft.App"} == set(ALL_PROVIDERS)


def test_a_missing_program_is_named(cli: AzureCli) -> None:
    cli.without("azd")
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "azd is not installed" in done.stderr


def test_parameters_are_filled_as_azd_does() -> None:
    filled = resolve({**ENVIRONMENT, "HTTP_CONCURRENCY": "16", "OPENAI_SKU": "", "CORS_ORIGINS": "https://a.example.com"})
    assert (filled["environmentName"], filled["httpConcurrency"], filled["openAiSku"]) == ("demo", "16", "GlobalStandard")
    assert filled["extraAppSettings"]["CORS_ORIGINS"] == "https://a.example.com"
    assert filled["extraAppSettings"]["RETENTION_DAYS"] == ""


def test_local_files_are_written_and_what_the_user_chose_is_kept(tmp_path: Path) -> None:
    cli = AzureCli(tmp_path, {**ENVIRONMENT, **OUTPUTS}, {})
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".env").write_text("# mine\nPORT=8000\nAZURE_OPENAI_MODEL=other\n")
    done = cli.run("infra.hooks.postprovision", str(folder))
    assert done.returncode == 0, done.stderr
    lines = (folder / ".env").read_text().splitlines()
    assert lines[:3] == ["# mine", "PORT=8000", "AZURE_OPENAI_MODEL=other"]
    assert lines[3:] == [f"{name}={OUTPUTS[name]}" for name in NAMES if name != "AZURE_OPENAI_MODEL"]
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
    cli = AzureCli(tmp_path, {**ENVIRONMENT, **OUTPUTS, **change}, {})
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
    done = cli.run("infra.hooks.postdeploy", PYTHONPATH=str(plugin), PYTHONSAFEPATH="")
    assert done.returncode == 3
    assert done.stdout.split() == ["['tests/deploy']", OUTPUTS["BASE_URL"], "chat_k"]


def test_the_deploy_test_needs_something_that_is_deployed(cli: AzureCli) -> None:
    done = cli.run("infra.hooks.postdeploy")
    assert done.returncode == 1
    assert "run azd provision first" in done.stderr
