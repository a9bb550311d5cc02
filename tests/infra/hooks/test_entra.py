"""The app registration that ``ENTRA_AUTH=true`` asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.fakes.azure_cli import AzureCli
from tests.infra.hooks.answers import OUTPUTS

CliWith = Callable[..., AzureCli]
CLIENT = "33333333-3333-3333-3333-333333333333"
TENANT = "22222222-2222-2222-2222-222222222222"
NEW = {"id": "object-1", "appId": CLIENT, "api": {"oauth2PermissionScopes": []}, "spa": {"redirectUris": []}}
ANSWERS: dict[str, Any] = {
    "az ad app list": [],
    "az ad app create": NEW,
    "az ad app show": NEW,
    "az ad sp list": [],
    "az ad sp create": {},
    "az rest": None,
}


def bodies(cli: AzureCli) -> list[dict[str, Any]]:
    return [json.loads(each[each.index("--body") + 1]) for each in cli.asked if "--body" in each]


def test_a_registration_is_made_for_the_page_and_the_api(cli_with: CliWith) -> None:
    cli = cli_with({"ENTRA_AUTH": "true"}, ANSWERS)
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 0, done.stderr
    kept = cli.environment
    assert (kept["ENTRA_TENANT_IDS"], kept["ENTRA_AUDIENCE"], kept["ENTRA_CLIENT_ID"]) == (TENANT, CLIENT, CLIENT)
    # Users can sign in: no API key is made for them.
    assert "chat_" not in done.stdout
    exposed, allowed = bodies(cli)
    [scope] = exposed["api"]["oauth2PermissionScopes"]
    assert (scope["value"], exposed["identifierUris"]) == ("access_as_user", [f"api://{CLIENT}"])
    assert exposed["api"]["requestedAccessTokenVersion"] == 2
    assert allowed["api"]["preAuthorizedApplications"] == [{"appId": CLIENT, "delegatedPermissionIds": [scope["id"]]}]


def test_the_second_time_nothing_is_made(cli_with: CliWith) -> None:
    there = {**NEW, "api": {"oauth2PermissionScopes": [{"value": "access_as_user", "id": "s"}]}}
    answers = {**ANSWERS, "az ad app list": [there], "az ad sp list": [{"id": "sp"}]}
    cli = cli_with({"ENTRA_AUTH": "true"}, answers)
    assert cli.run("infra.hooks.preprovision").returncode == 0
    assert cli.environment["ENTRA_CLIENT_ID"] == CLIENT
    assert not [each for each in cli.asked if "create" in each or "--body" in each]


def test_two_registrations_of_one_name_are_not_chosen_between(cli_with: CliWith) -> None:
    done = cli_with({"ENTRA_AUTH": "true"}, {**ANSWERS, "az ad app list": [NEW, NEW]}).run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "azd env set ENTRA_CLIENT_ID" in done.stderr


def test_a_directory_that_refuses_says_what_to_do(cli_with: CliWith) -> None:
    answers = {**ANSWERS, "az ad app create": "fails: Insufficient privileges to complete the operation."}
    cli = cli_with({"ENTRA_AUTH": "true"}, answers)
    done = cli.run("infra.hooks.preprovision")
    assert done.returncode == 1
    assert "Insufficient privileges" in done.stderr
    assert "Application Developer" in done.stderr
    assert "API_KEYS" not in cli.environment


def test_users_are_sent_back_to_the_page(cli_with: CliWith) -> None:
    there = {**NEW, "spa": {"redirectUris": ["https://mine.example.com/"]}}
    answers = {**ANSWERS, "az ad app show": there, "az resource list": [], "az rest": "fails: ResourceNotFound"}
    prod = {**OUTPUTS, "ENTRA_AUTH": "true", "ENTRA_CLIENT_ID": CLIENT, "ENVIRONMENT_TYPE": "prod", "PRIVATE_NETWORK": "True"}
    cli = cli_with(prod, {**answers, "az rest --method patch": None, "az identity list": []})
    done = cli.run("infra.hooks.postprovision")
    assert done.returncode == 0, done.stderr
    assert bodies(cli) == [{"spa": {"redirectUris": ["https://mine.example.com/", f"{OUTPUTS['BASE_URL']}/"]}}]
