"""Azure's REST names, as the management SDKs know them, and a walk that finds properties of a Bicep resource that are none."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tree_sitter import Node

from tests.infra.bicep import BicepFile, objects, properties
from tests.infra.checks import BICEP_PROPERTIES

# Resource type -> module under azure.mgmt and its model; where reading and writing have models of their own, that for writing.
MODELS = {
    "Microsoft.Authorization/locks": "resource.locks.models.ManagementLockObject",
    "Microsoft.Authorization/roleAssignments": "authorization.v2022_04_01.models.RoleAssignment",
    "Microsoft.BotService/botServices": "botservice.models.Bot",
    "Microsoft.BotService/botServices/channels": "botservice.models.BotChannel",
    "Microsoft.Cache/redisEnterprise": "redisenterprise.models.Cluster",
    "Microsoft.Cache/redisEnterprise/databases": "redisenterprise.models.Database",
    "Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments": "redisenterprise.models.AccessPolicyAssignment",
    "Microsoft.CognitiveServices/accounts": "cognitiveservices.models.Account",
    "Microsoft.CognitiveServices/accounts/deployments": "cognitiveservices.models.Deployment",
    "Microsoft.Consumption/budgets": "consumption.models.Budget",
    "Microsoft.DocumentDB/databaseAccounts": "cosmosdb.models.DatabaseAccountCreateUpdateParameters",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases": "cosmosdb.models.SqlDatabaseCreateUpdateParameters",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers": "cosmosdb.models.SqlContainerCreateUpdateParameters",
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments": "cosmosdb.models.SqlRoleAssignmentCreateUpdateParameters",
    "Microsoft.Insights/actionGroups": "monitor.models.ActionGroupResource",
    "Microsoft.Insights/components": "applicationinsights.v2020_02_02.models.ApplicationInsightsComponent",
    "Microsoft.Insights/metricAlerts": "monitor.models.MetricAlertResource",
    "Microsoft.Insights/scheduledQueryRules": "monitor.models.ScheduledQueryRuleResource",
    "Microsoft.Insights/webtests": "applicationinsights.v2022_06_15.models.WebTest",
    "Microsoft.Insights/workbooks": "applicationinsights.v2023_06_01.models.Workbook",
    "Microsoft.KeyVault/vaults": "keyvault.models.VaultCreateOrUpdateParameters",
    "Microsoft.KeyVault/vaults/secrets": "keyvault.models.SecretCreateOrUpdateParameters",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "msi.v2024_11_30.models.Identity",
    "Microsoft.Network/networkSecurityGroups": "network.models.NetworkSecurityGroup",
    "Microsoft.Network/privateDnsZones": "privatedns.models.PrivateZone",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "privatedns.models.VirtualNetworkLink",
    "Microsoft.Network/privateEndpoints": "network.models.PrivateEndpoint",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "network.models.PrivateDnsZoneGroup",
    "Microsoft.Network/virtualNetworks": "network.models.VirtualNetwork",
    "Microsoft.OperationalInsights/workspaces": "loganalytics.models.Workspace",
    "Microsoft.Portal/dashboards": "portal.models.Dashboard",
    "Microsoft.Resources/resourceGroups": "resource.resources.models.ResourceGroup",
    "Microsoft.Storage/storageAccounts": "storage.models.StorageAccountCreateParameters",
    "Microsoft.Storage/storageAccounts/blobServices": "storage.models.BlobServiceProperties",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "storage.models.BlobContainer",
    "Microsoft.Storage/storageAccounts/queueServices": "storage.models.QueueServiceProperties",
    "Microsoft.Storage/storageAccounts/queueServices/queues": "storage.models.StorageQueue",
    "Microsoft.Web/serverfarms": "web.models.AppServicePlan",
    "Microsoft.Web/sites": "web.models.Site",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": "web.models.CsmPublishingCredentialsPoliciesEntity",
    "Microsoft.Web/sites/config": "web.models.StringDictionary",
}


@dataclass(frozen=True)
class Names:
    """What an object's properties may be called, and what each is; ``None`` is a plain value or a free object."""

    fields: dict[str, Names | type | None]


# No SDK has a model for them any more.
DIAGNOSTIC_SETTINGS = Names(
    {
        "properties": Names(
            {
                "workspaceId": None,
                "logAnalyticsDestinationType": None,
                "logs": Names(dict.fromkeys(("category", "categoryGroup", "enabled"))),
                "metrics": Names(dict.fromkeys(("category", "enabled", "timeGrain"))),
            }
        )
    }
)


def misspelt(file: BicepFile) -> list[str]:
    """Properties of resources that Azure's REST API has not, and resource types that are not in the list above."""
    found = []
    for symbol in file.of("resource").values():
        kind = symbol.target.partition("@")[0]
        if symbol.existing:
            continue
        if kind == "Microsoft.Insights/diagnosticSettings":
            names: Names | type | None = DIAGNOSTIC_SETTINGS
        elif kind in MODELS:
            module, _, model = MODELS[kind].rpartition(".")
            names = getattr(importlib.import_module(f"azure.mgmt.{module}"), model)
        else:
            found.append(f"{kind}: add its model to rest_models.py")
            continue
        found += [f"{symbol.name}: {path}" for path in _unknown(symbol.node.children[-1], names, "", top=True)]
    return found


def _unknown(node: Node, names: Names | type | None, path: str, *, top: bool = False) -> Iterator[str]:
    if isinstance(names, type):
        names = names_of(names)
    if names is None:
        return
    for body in objects(node):
        for key, value in properties(body).items():
            if top and key in BICEP_PROPERTIES:
                continue
            if key not in names.fields:
                yield f"{path}{key}"
            else:
                yield from _unknown(value, names.fields[key], f"{path}{key}.")


def names_of(model: type) -> Names:
    """Return a model's REST names; of one that stands for several kinds, the names of all of them."""
    found: dict[str, Names | type | None] = {}
    models = [model]
    if getattr(model, "_subtype_map", None) or vars(model).get("__mapping__"):
        models += _subclasses(model)
    for each in models:
        if hasattr(each, "_attribute_map"):
            _from_attribute_map(each, found)
        else:
            _from_rest_fields(each, found)
    return Names(found)


def _subclasses(model: type[Any]) -> list[type[Any]]:
    children: list[type[Any]] = model.__subclasses__()
    return [each for child in children for each in (child, *_subclasses(child))]


def _from_attribute_map(model: Any, found: dict[str, Names | type | None]) -> None:
    """The older generator: names with the path of a nested property in one, such as ``properties.capacity``."""
    module = importlib.import_module(model.__module__.rpartition(".")[0])
    for item in model._attribute_map.values():
        *outer, last = (part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", item["key"]))
        inside = found
        for part in outer:
            holder = inside.setdefault(part, Names({}))
            assert isinstance(holder, Names)
            inside = holder.fields
        # {str} is a dictionary, whose keys are free.
        inside[last] = None if item["type"].startswith("{") else getattr(module, item["type"].strip("[]"), None)


def _from_rest_fields(model: Any, found: dict[str, Names | type | None]) -> None:
    """The newer generator: annotated fields, whose REST name is given where it differs."""
    for base in reversed(model.__mro__):
        module = importlib.import_module(base.__module__.rpartition(".")[0]) if "models" in base.__module__ else None
        for name, field in vars(base).items():
            if type(field).__name__ != "_RestField":
                continue
            annotation = str(base.__annotations__.get(name, ""))
            inner = re.search(r"_models\.(\w+)", annotation)
            free = inner is None or "dict[" in annotation.lower()
            found[field._rest_name_input or name] = None if free or inner is None else getattr(module, inner[1], None)
