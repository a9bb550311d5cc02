"""What would make a deployment fail is named before anything is created."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.hooks import azure_checks
from infra.hooks.parameters import resolve
from tests.fakes.azure_cli import AzureCli
from tests.infra.hooks.answers import ALL_PROVIDERS, ENVIRONMENT, OUTPUTS, USAGE, offer, usage

ROOT = Path(__file__).parents[3]
CliWith = Callable[..., AzureCli]


@pytest.mark.parametrize(
    ("command", "answer", "text", "fixed_by"),
    [
        ("az account show", "fails", "The Azure CLI cannot be used", "az login"),
        ("azd auth login --check-status", {"status": "unauthenticated"}, "azd is not signed in", "azd auth login"),
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
        ("az cognitiveservices model list", [], "has no model gpt-5.4-mini", "azd env set OPENAI_MODEL_NAME"),
        (
            "az cognitiveservices model list",
            [offer(version="2027-01-01")],
            "no version 2026-03-17",
            "azd env set OPENAI_MODEL_VERSION 2027-01-01",
        ),
        (
            "az cognitiveservices model list",
            [offer(skus=[{"name": "Standard", "usageName": "x"}])],
            "cannot be deployed as GlobalStandard in westeurope, but as: Standard",
            "azd env set OPENAI_SKU",
        ),
        (
            "az cognitiveservices model list",
            [
                offer(lifecycleStatus="Deprecating"),
                offer("gpt-5.6-mini", "2026-09-01"),
                offer("gpt-5.7-mini", "2026-10-01", lifecycleStatus="Deprecated"),
                offer("gpt-6", "2026-11-01"),
            ],
            "closed to new deployments (Deprecating); the newest of its family is gpt-5.6-mini 2026-09-01",
            "azd env set OPENAI_MODEL_NAME gpt-5.6-mini",
        ),
        (
            "az cognitiveservices usage list",
            usage(60),
            f"The quota {USAGE} in westeurope has 60 thousand tokens a minute left; 100 are wanted",
            "azd env set OPENAI_CAPACITY 60",
        ),
        ("az cognitiveservices usage list", usage(0), "has 0 thousand", "ask for quota"),
    ],
)
def test_what_would_fail_is_named_with_the_command_that_fixes_it(
    cli: AzureCli, command: str, answer: Any, text: str, fixed_by: str
) -> None:
    cli.answers[command] = answer
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert text in done.stderr
    assert f"    {fixed_by}" in done.stderr or fixed_by in done.stderr.splitlines()[-1]
    assert "chat_" not in done.stdout
    # Nothing is kept of a key that nobody has seen.
    assert cli.environment == ENVIRONMENT


def test_a_subscription_without_usage_entries_has_its_quota(cli: AzureCli) -> None:
    cli.answers["az cognitiveservices usage list"] = []
    assert cli.run("infra.hooks.preprovision").returncode == 0


def test_a_deployed_model_is_not_counted_against_the_quota_again(cli_with: CliWith) -> None:
    """A pipeline's environment is new each time: only Azure knows what is deployed."""
    cli = cli_with({}, {"az cognitiveservices usage list": usage(0)}, deployed=True)
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 0, done.stderr
    assert all("--subscription" in each for each in cli.asked if each[0] == "az" and each[1] not in ("rest", "account"))


def test_more_than_is_deployed_needs_quota_for_the_rest(cli_with: CliWith) -> None:
    cli = cli_with({"OPENAI_CAPACITY": "150"}, {"az cognitiveservices usage list": usage(40)}, deployed=True)
    assert "azd env set OPENAI_CAPACITY 140" in cli.run("infra.hooks.preprovision").stderr


def test_a_deployed_model_that_is_closed_to_new_ones_goes_on_with_a_warning(cli_with: CliWith) -> None:
    soon = f"{datetime.now(UTC) + timedelta(days=80):%Y-%m-%dT00:00:00Z}"
    closed = offer(lifecycleStatus="Deprecating", deprecation={"inference": soon})
    done = cli_with({}, {"az cognitiveservices model list": [closed]}, deployed=True).run("infra.hooks.preprovision")
    assert done.returncode == 0
    assert f"WARNING: gpt-5.4-mini 2026-03-17 is retired on {soon[:10]}" in done.stdout


def test_missing_providers_are_registered(cli_with: CliWith) -> None:
    chosen = {"ENVIRONMENT_TYPE": "prod", "DEPLOY_REDIS": "true", "DEPLOY_BOT": "true"}
    answers = {"az provider list": list(azure_checks.PROVIDERS), "az provider register": None}
    cli = cli_with(chosen, answers)
    assert cli.run("infra.hooks.preprovision").returncode == 0
    registered = [each[each.index("--namespace") + 1] for each in cli.asked if "register" in each]
    assert registered == ["Microsoft.App", "Microsoft.Network", "Microsoft.Cache", "Microsoft.BotService"]


def test_a_provider_that_may_not_be_registered_stops_the_deployment(cli_with: CliWith) -> None:
    known = [each for each in ALL_PROVIDERS if each != "Microsoft.DocumentDB"]
    cli = cli_with({}, {"az provider list": known, "az provider register": "fails: AuthorizationFailed"})
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "Microsoft.DocumentDB is not registered, and you may not register it" in done.stderr
    assert "az provider register --namespace Microsoft.DocumentDB --subscription sub-1 --wait" in done.stderr


def test_the_providers_are_those_of_the_infrastructure() -> None:
    files = [path.read_text() for path in (ROOT / "infra").rglob("*.bicep")]
    used = {name for text in files for name in re.findall(r"^resource \w+ '([\w.]+)/", text, re.MULTILINE)}
    assert used | {"Microsoft.App"} == set(ALL_PROVIDERS)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AZURE_ENV_NAME", "demo.", "no period at its end"),
        ("AZURE_ENV_NAME", "x" * 33, "at most 32 characters"),
        ("MAXIMUM_INSTANCES", "10", "takes 40 to 1,000"),
        ("MAXIMUM_INSTANCES", "many", "it is a whole number"),
        ("BUDGET_AMOUNT", "9.99", "it is a whole number"),
        ("LOG_RETENTION_DAYS", "7", "30 to 730"),
        ("APP_SUBNET_PREFIX", "10.20.0.0/27", "/26 or larger"),
        ("APP_SUBNET_PREFIX", "10.21.0.0/26", "not a part of 10.20.0.0/24"),
        ("ENDPOINT_SUBNET_PREFIX", "10.20.0.0/27", "overlaps"),
        ("NETWORK_ADDRESS_PREFIX", "10.20", "it is a network such as"),
        ("BUDGET_AMOUNT", "50", "azd env set ALERT_EMAIL"),
        ("TURN_TIMEOUT_SECONDS", "0", "azd env set TURN_TIMEOUT_SECONDS"),
        ("CORS_ORIGINS", "https://a.example.com,", "no empty origin"),
        ("CORS_ORIGINS", "example.com", "azd env set CORS_ORIGINS"),
    ],
)
def test_values_that_azure_or_the_app_would_refuse_are_found(cli_with: CliWith, name: str, value: str, reason: str) -> None:
    done = cli_with({name: value}).run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert reason in done.stderr


def test_throughput_goes_in_steps(cli_with: CliWith) -> None:
    chosen = {"COSMOS_CAPACITY_MODE": "autoscale", "COSMOS_MAX_THROUGHPUT": "1500"}
    assert "steps of 1,000" in cli_with(chosen).run("infra.hooks.preprovision").stderr


def test_everything_that_is_wrong_is_said_at_once(cli_with: CliWith) -> None:
    cli = cli_with({"TURN_TIMEOUT_SECONDS": "0", "MAXIMUM_INSTANCES": "1"}, {"az cognitiveservices model list": []})
    assert cli.run("infra.hooks.preprovision").stderr.count("\n- ") == 2


def test_azd_provision_as_the_first_command_says_what_azd_up_asks_for(tmp_path: Path) -> None:
    done = AzureCli(tmp_path, {"AZURE_ENV_NAME": "demo"}, {}).run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "AZURE_SUBSCRIPTION_ID is not set" in done.stderr
    assert "AZURE_LOCATION is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_existing_account_is_asked_for_its_deployment_and_no_quota_is_needed(cli_with: CliWith) -> None:
    cli = cli_with(
        {"EXISTING_OPENAI_NAME": "ours", "AZURE_OPENAI_MODEL": "gpt"},
        {"az cognitiveservices account deployment list": [{"name": "chat"}]},
    )
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "ours has no deployment gpt, but: chat" in done.stderr
    [asked] = [each for each in cli.asked if "deployment" in each]
    assert asked[asked.index("--resource-group") + 1] == "rg-demo"
    assert not [each for each in cli.asked if "usage" in each]


BUDGET = {"BUDGET_AMOUNT": "50", "ALERT_EMAIL": "on-call@example.com"}


def test_a_budget_begins_in_the_month_in_which_it_is_made(cli_with: CliWith) -> None:
    cli = cli_with({**BUDGET, "BUDGET_START_DATE": "2020-01-01"})
    assert cli.run("infra.hooks.preprovision").returncode == 0
    # Azure refuses one in the past for a budget that is new.
    assert cli.environment["BUDGET_START_DATE"] == f"{datetime.now(UTC):%Y-%m}-01"


def test_a_budget_that_azure_has_keeps_its_start(cli_with: CliWith) -> None:
    there = {"properties": {"timePeriod": {"startDate": "2026-01-01T00:00:00Z"}}}
    cli = cli_with({**BUDGET, "AZURE_ENV_NAME": "demo.(1)"}, {"az rest": there})
    assert cli.run("infra.hooks.preprovision").returncode == 0
    assert cli.environment["BUDGET_START_DATE"] == "2026-01-01"
    [asked] = [each for each in cli.asked if each[1] == "rest"]
    assert "/rg-demo.(1)/providers/Microsoft.Consumption/budgets/budget-demo--1-?" in asked[asked.index("--url") + 1]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"USE_PRIVATE_NETWORK": "true"}, "false"),
        ({**OUTPUTS, "USE_PRIVATE_NETWORK": "true"}, "true"),
        ({**OUTPUTS, "USE_PRIVATE_NETWORK": "true", "PRIVATE_NETWORK": "True"}, "false"),
        ({**OUTPUTS, "KEEP_PUBLIC_ACCESS": "true"}, "false"),
    ],
)
def test_a_live_app_gets_its_endpoints_before_the_services_close(cli_with: CliWith, values: dict[str, str], kept: str) -> None:
    cli = cli_with(values, deployed=True)
    assert cli.run("infra.hooks.preprovision").returncode == 0
    assert cli.environment["KEEP_PUBLIC_ACCESS"] == kept


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
