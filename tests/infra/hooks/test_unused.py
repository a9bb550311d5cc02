"""What is no longer wanted is named, and removed when asked for; nothing else ever is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.azure_cli import AzureCli
from tests.infra.hooks.answers import OUTPUTS

CliWith = Callable[..., AzureCli]
SNAPSHOT = Path(__file__).parents[1] / "snapshots/everything.json"
ENVIRONMENT = "demo.(1)"
COSMOS_ROLE = "/x/sqlRoleDefinitions/00000000-0000-0000-0000-000000000002"
MODEL_ROLE = "/x/roleDefinitions/5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"


def evaluated(name: str) -> str:
    """Return a name that a snapshot leaves as an expression: it knows no cloud's suffixes."""
    if not name.startswith("["):
        return name
    [service] = re.findall(r"privatelink\.(\w+)\.", name)
    link = re.search(r"'(\w+-link)'", name)
    return f"privatelink.{service}.core.windows.net" + (f"/{link[1]}" if link else "")


def everything() -> dict[str, Any]:
    """Answer as Azure would after everything was deployed that can be."""
    resources = [each for each in json.loads(SNAPSHOT.read_text())["resources"] if "tags" in each]
    shown = [
        {"id": f"/{each['type']}/{evaluated(each['name'])}", "name": evaluated(each["name"])}
        | {key: each[key] for key in ("type", "tags")}
        for each in resources
    ]
    foreign = {"id": "/foreign", "name": "amr-theirs", "type": "Microsoft.Cache/redisEnterprise", "tags": {}}
    account = next(each["id"] for each in shown if each["type"] == "Microsoft.CognitiveServices/accounts")
    identities = [{"name": each["name"], "principalId": "app"} for each in shown if "userAssigned" in each["type"]]
    return {
        "az resource list": [*shown, foreign, {**foreign, "tags": None}],
        "az resource delete": None,
        "az lock list": [{"name": name, "id": f"/locks/{name}"} for name in ("keep-the-threads", "keep-the-logs", "theirs")],
        "az lock delete": None,
        "az rest --method get": {"name": "budget"},
        "az rest --method delete": None,
        "az identity list": identities,
        "az cosmosdb sql role assignment list": [
            {"name": "a1", "principalId": "app", "roleDefinitionId": COSMOS_ROLE, "scope": "/c/dbs/chat_db"},
            {"name": "a2", "principalId": "dev", "roleDefinitionId": COSMOS_ROLE, "scope": "/c/dbs/chat_db"},
            {"name": "a3", "principalId": "backup", "roleDefinitionId": COSMOS_ROLE, "scope": "/c"},
        ],
        "az cosmosdb sql role assignment delete": None,
        f"az role assignment list --scope {account}": [
            {"id": "/r1", "principalId": "app", "roleDefinitionId": MODEL_ROLE},
            {"id": "/r2", "principalId": "dev", "roleDefinitionId": MODEL_ROLE},
            {"id": "/r3", "principalId": "dev", "roleDefinitionId": "/x/another"},
        ],
        "az role assignment delete": None,
    }


def removed(cli: AzureCli) -> list[str]:
    found = []
    for each in cli.asked:
        if "delete" in each:
            option = "--ids" if "--ids" in each else "--url" if "--url" in each else "--role-assignment-id"
            found.append(each[each.index(option) + 1].partition("?")[0].rpartition("/")[2])
    return found


def provisioned(cli_with: CliWith, values: dict[str, str]) -> AzureCli:
    given = {**OUTPUTS, "AZURE_ENV_NAME": ENVIRONMENT, "PRIVATE_NETWORK": "True", **values}
    cli = cli_with(given, everything())
    done = cli.run("infra.hooks.postprovision")
    assert done.returncode == 0, done.stderr
    return cli


WANTED = {
    "ENVIRONMENT_TYPE": "prod",
    "DEPLOY_REDIS": "true",
    "DEPLOY_BOT": "true",
    "ALERT_EMAIL": "on-call@example.com",
    "BUDGET_AMOUNT": "100",
}


def test_what_is_wanted_stays(cli_with: CliWith) -> None:
    cli = provisioned(cli_with, {**WANTED, "REMOVE_UNUSED": "true"})
    # Only the rights that somebody got while the environment was dev.
    assert removed(cli) == ["a2", "r2"]


def test_nothing_is_removed_unless_asked_for(cli_with: CliWith) -> None:
    cli = provisioned(cli_with, {**WANTED, "DEPLOY_REDIS": "false"})
    assert removed(cli) == []


def test_what_is_switched_off_is_removed(cli_with: CliWith) -> None:
    cli = provisioned(cli_with, {**WANTED, "DEPLOY_REDIS": "false", "DEPLOY_BOT": "false", "REMOVE_UNUSED": "true"})
    gone = [each for each in removed(cli) if each not in ("a2", "r2")]
    assert sorted(re.sub("-n2etsfyxohqdg", "", each) for each in gone) == [
        "amr",
        "bot",
        "id-bot",
        "pep-queue",
        "pep-redis",
        "pep-table",
        "privatelink.queue.core.windows.net",
        "privatelink.redis.azure.net",
        "privatelink.table.core.windows.net",
        "queue-link",
        "redis-link",
        "table-link",
    ]


def test_all_is_removed_in_an_order_that_azure_takes(cli_with: CliWith) -> None:
    cli = provisioned(cli_with, {"ENVIRONMENT_TYPE": "dev", "REMOVE_UNUSED": "true"})
    gone = removed(cli)
    assert gone[:2] == ["keep-the-threads", "keep-the-logs"]
    assert gone[-1] == "budget-demo--1-"
    assert not {"theirs", "foreign", "a2", "r2"} & set(gone)

    def places(text: str) -> list[int]:
        found = [index for index, each in enumerate(gone) if text in each]
        assert found, (text, gone)
        return found

    assert max(places("pep-")) < min(places("-link"))
    assert max(places("-link")) < min(places("privatelink."))
    assert max(places("privatelink.")) < min(places("vnet-")) < min(places("nsg-"))


def test_commands_are_shown_as_they_are_run(cli_with: CliWith) -> None:
    given = {**OUTPUTS, "AZURE_ENV_NAME": ENVIRONMENT, **WANTED, "LOCK_DATA": "false"}
    done = cli_with(given, everything()).run("infra.hooks.postprovision")
    assert "    az lock delete --ids /locks/keep-the-threads --subscription sub-1" in done.stdout
