"""What an earlier provisioning made and the current choices no longer want: azd only ever adds.

Only what has the environment's tag, or a name that nothing else has, is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.hooks import budget
from infra.hooks.commands import Azure
from infra.hooks.parameters import is_locked, is_private

LOCKS = ("keep-the-threads", "keep-the-logs")
DATA_ROLE = "00000000-0000-0000-0000-000000000002"
MODEL_ROLE = "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd"
NETWORK = r"microsoft\.network/.*"
ENDPOINTS = r"microsoft\.network/(privateendpoints|privatednszones(/virtualnetworklinks)?)"
ALERTS = r"microsoft\.insights/(webtests|scheduledqueryrules|metricalerts|actiongroups)"
# What depends on another goes before it.
ORDER = ("privateendpoints", "virtualnetworklinks", "privatednszones", "virtualnetworks", "networksecuritygroups")


@dataclass(frozen=True, slots=True)
class Unused:
    """Something that is there and not wanted, and the command line (after ``az``) that removes it."""

    text: str
    arguments: tuple[str, ...]


def unused(azure: Azure, parameters: dict[str, Any]) -> Iterator[Unused]:
    """Yield what is left over, in the order in which it can be removed.

    :raises CommandError: if Azure cannot be asked.
    """
    group = f"rg-{parameters['environmentName']}"
    resources = [
        each
        for each in azure.ask("resource", "list", "--resource-group", group)
        if (each.get("tags") or {}).get("azd-env-name") == parameters["environmentName"]
    ]
    yield from _locks(azure, parameters, group)
    yield from _resources(parameters, resources)
    yield from _budget(azure, parameters)
    if parameters["environmentType"] == "prod":
        yield from _developers(azure, group, resources)


def _locks(azure: Azure, parameters: dict[str, Any], group: str) -> Iterator[Unused]:
    if not is_locked(parameters):
        for each in azure.ask("lock", "list", "--resource-group", group):
            if each["name"] in LOCKS:
                yield Unused(f"lock {each['name']}", ("lock", "delete", "--ids", each["id"]))


def _resources(parameters: dict[str, Any], resources: list[dict[str, Any]]) -> Iterator[Unused]:
    unwanted = []
    if not is_private(parameters):
        unwanted.append((NETWORK, ""))
    for parameter, kind, names in (
        ("deployRedis", r"microsoft\.cache/redisenterprise", ""),
        ("deployRedis", ENDPOINTS, r"-redis$|privatelink\.redis\."),
        ("deployBot", r"microsoft\.botservice/botservices(/channels)?", ""),
        ("deployBot", r"microsoft\.managedidentity/userassignedidentities", r"^id-bot-"),
        ("deployBot", ENDPOINTS, r"-(queue|table)$|privatelink\.(queue|table)\."),
    ):
        if parameters[parameter] != "true":
            unwanted.append((kind, names))
    if not parameters["alertEmail"]:
        unwanted.append((ALERTS, ""))
    found = [
        each
        for each in resources
        if any(re.fullmatch(kind, each["type"].lower()) and re.search(names, each["name"]) for kind, names in unwanted)
    ]
    for each in sorted(found, key=lambda each: _rank(each["type"])):
        yield Unused(f"{each['type']} {each['name']}", ("resource", "delete", "--ids", each["id"]))


def _rank(type: str) -> int:
    last = type.lower().rpartition("/")[2]
    return ORDER.index(last) if last in ORDER else -1


def _budget(azure: Azure, parameters: dict[str, Any]) -> Iterator[Unused]:
    if not budget.is_wanted(parameters) and budget.get(azure, parameters):
        path = budget.path(parameters)
        url = f"https://management.azure.com/subscriptions/{azure.subscription}{path}?api-version={budget.API_VERSION}"
        yield Unused(f"budget {path.rpartition('/')[2]}", ("rest", "--method", "delete", "--url", url))


def _developers(azure: Azure, group: str, resources: list[dict[str, Any]]) -> Iterator[Unused]:
    """Rights on data and model that somebody got while the environment was dev."""

    def named(kind: str) -> list[str]:
        return [each["name"] for each in resources if each["type"].lower() == kind.lower()]

    app = {
        each["principalId"]
        for each in azure.ask("identity", "list", "--resource-group", group)
        if each["name"] in named("Microsoft.ManagedIdentity/userAssignedIdentities")
    }
    for account in named("Microsoft.DocumentDB/databaseAccounts"):
        place = ("--account-name", account, "--resource-group", group)
        for each in azure.ask("cosmosdb", "sql", "role", "assignment", "list", *place):
            if each["roleDefinitionId"].endswith(DATA_ROLE) and "/dbs/" in each["scope"] and each["principalId"] not in app:
                yield Unused(
                    f"right of {each['principalId']} on the threads",
                    ("cosmosdb", "sql", "role", "assignment", "delete", *place, "--role-assignment-id", each["name"], "--yes"),
                )
    for each in resources:
        if each["type"].lower() == "microsoft.cognitiveservices/accounts":
            for role in azure.ask("role", "assignment", "list", "--scope", each["id"]):
                if role["roleDefinitionId"].endswith(MODEL_ROLE) and role["principalId"] not in app:
                    yield Unused(
                        f"right of {role['principalId']} on the model", ("role", "assignment", "delete", "--ids", role["id"])
                    )
