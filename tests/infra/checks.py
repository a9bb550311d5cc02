"""What must hold of everything that is deployed, whatever the choices: each check returns its findings, none if all is well."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

Resource = dict[str, Any]
Check = Callable[[list[Resource]], Iterator[str]]

API_VERSIONS = {
    "Microsoft.Authorization/locks": "2020-05-01",
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.BotService/botServices": "2022-09-15",
    "Microsoft.Cache/redisEnterprise": "2025-07-01",
    "Microsoft.CognitiveServices/accounts": "2025-06-01",
    "Microsoft.Consumption/budgets": "2024-08-01",
    "Microsoft.DocumentDB/databaseAccounts": "2025-04-15",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/diagnosticSettings": "2021-05-01-preview",
    "Microsoft.Insights/metricAlerts": "2018-03-01",
    "Microsoft.Insights/scheduledQueryRules": "2023-12-01",
    "Microsoft.Insights/webtests": "2022-06-15",
    "Microsoft.Insights/workbooks": "2023-06-01",
    "Microsoft.KeyVault/vaults": "2024-11-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2024-11-30",
    "Microsoft.Network/networkSecurityGroups": "2025-05-01",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.Network/privateEndpoints": "2025-05-01",
    "Microsoft.Network/virtualNetworks": "2025-05-01",
    "Microsoft.OperationalInsights/workspaces": "2025-07-01",
    "Microsoft.Portal/dashboards": "2020-09-01-preview",
    "Microsoft.Resources/resourceGroups": "2024-11-01",
    "Microsoft.Storage/storageAccounts": "2025-01-01",
    "Microsoft.Web/serverfarms": "2025-03-01",
    "Microsoft.Web/sites": "2025-03-01",
}
# By the type of what the role is assigned on.
ROLES = {
    "Microsoft.Storage/storageAccounts": {
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
        "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    },
    "Microsoft.Insights/components": {"3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher"},
    "Microsoft.CognitiveServices/accounts": {"5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": "Cognitive Services OpenAI User"},
    "Microsoft.KeyVault/vaults": {"4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User"},
}
COSMOS_DATA_CONTRIBUTOR = "00000000-0000-0000-0000-000000000002"
# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
NAMES = {
    "Microsoft.BotService/botServices": r"[A-Za-z0-9][A-Za-z0-9_.-]{1,41}",
    "Microsoft.Cache/redisEnterprise": r"[A-Za-z0-9]([A-Za-z0-9]|-(?!-)){0,58}[A-Za-z0-9]",
    "Microsoft.CognitiveServices/accounts": r"[A-Za-z0-9][A-Za-z0-9-]{0,62}[A-Za-z0-9]",
    "Microsoft.Consumption/budgets": r"[A-Za-z0-9_-]{1,63}",
    "Microsoft.DocumentDB/databaseAccounts": r"[a-z0-9][a-z0-9-]{1,42}[a-z0-9]",
    "Microsoft.Insights/actionGroups": r"[^:<>+/&%\\?|]{0,259}[^:<>+/&%\\?|. ]",
    "Microsoft.Insights/metricAlerts": r"[^*#&+:<>?@%{}\\/]{0,259}[^*#&+:<>?@%{}\\/. ]",
    "Microsoft.Insights/scheduledQueryRules": r"[^*<>%{}&:\\?/#|]{0,259}[^*<>%{}&:\\?/#|. ]",
    "Microsoft.KeyVault/vaults": r"[A-Za-z]([A-Za-z0-9]|-(?!-)){1,22}[A-Za-z0-9]",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}",
    "Microsoft.Network/virtualNetworks": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9_]",
    "Microsoft.OperationalInsights/workspaces": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "Microsoft.Resources/resourceGroups": r"[\w().-]{0,89}[\w()-]",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Web/serverfarms": r"[A-Za-z0-9-]{1,60}",
    "Microsoft.Web/sites": r"[A-Za-z0-9][A-Za-z0-9-]{0,58}[A-Za-z0-9]",
}
# Type, path of a property, and the only value that keeps keys, passwords and plain HTTP out.
KEYLESS: tuple[tuple[str, tuple[str, ...], Any], ...] = (
    ("Microsoft.BotService/botServices", ("properties", "disableLocalAuth"), True),
    ("Microsoft.Cache/redisEnterprise/databases", ("properties", "accessKeysAuthentication"), "Disabled"),
    ("Microsoft.Cache/redisEnterprise/databases", ("properties", "clientProtocol"), "Encrypted"),
    ("Microsoft.CognitiveServices/accounts", ("properties", "disableLocalAuth"), True),
    ("Microsoft.DocumentDB/databaseAccounts", ("properties", "disableLocalAuth"), True),
    ("Microsoft.Insights/components", ("properties", "DisableLocalAuth"), True),
    ("Microsoft.KeyVault/vaults", ("properties", "enableRbacAuthorization"), True),
    ("Microsoft.OperationalInsights/workspaces", ("properties", "features", "disableLocalAuth"), True),
    ("Microsoft.Storage/storageAccounts", ("properties", "allowSharedKeyAccess"), False),
    ("Microsoft.Storage/storageAccounts", ("properties", "allowBlobPublicAccess"), False),
    ("Microsoft.Storage/storageAccounts", ("properties", "supportsHttpsTrafficOnly"), True),
    ("Microsoft.Web/sites", ("properties", "httpsOnly"), True),
    ("Microsoft.Web/sites/basicPublishingCredentialsPolicies", ("properties", "allow"), False),
)
DATA_SERVICES = {
    "Microsoft.Cache/redisEnterprise",
    "Microsoft.CognitiveServices/accounts",
    "Microsoft.DocumentDB/databaseAccounts",
    "Microsoft.KeyVault/vaults",
    "Microsoft.Storage/storageAccounts",
}
FORBIDDEN_ON_FLEX = re.compile(
    r"FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|WEBSITE_RUN_FROM_PACKAGE|SCM_DO_BUILD|ENABLE_ORYX|WEBSITE_CONTENT"
    r"|PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"
)
# https://learn.microsoft.com/azure/azure-functions/functions-app-settings, "Flex Consumption plan deprecations"
REFUSED_SITE_CONFIG = {"ftpsState", "linuxFxVersion", "alwaysOn", "functionAppScaleLimit", "minimumElasticInstanceCount"}


def of(resources: list[Resource], kind: str) -> list[Resource]:
    """Return the resources of a type."""
    return [each for each in resources if each["type"] == kind]


def value_at(resource: Resource, path: tuple[str, ...]) -> Any:
    """Return the property at a path; ``None`` where it is missing."""
    found: Any = resource
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def api_versions(resources: list[Resource]) -> Iterator[str]:
    """Types and API versions are those that were looked up."""
    for each in resources:
        allowed = API_VERSIONS.get("/".join(each["type"].split("/")[:2]))
        if each["apiVersion"] != allowed:
            yield f"{each['type']}@{each['apiVersion']}"


def keyless(resources: list[Resource]) -> Iterator[str]:
    """Nothing takes a key, a password or plain HTTP, and nothing asks for a key."""
    for kind, path, wanted in KEYLESS:
        for each in of(resources, kind):
            if value_at(each, path) != wanted:
                yield f"{each['name']}: {'.'.join(path)} is {value_at(each, path)}"
    for each in resources:
        if found := re.search(r"list(Keys|AccountSas|ConnectionStrings|Secrets)\(", str(each)):
            yield f"{each['name']}: {found[0]}"


def networks(resources: list[Resource]) -> Iterator[str]:
    """Where there is a network, every data service of ours has its endpoint there, and the app joins it."""
    if not (virtual := of(resources, "Microsoft.Network/virtualNetworks")):
        return
    reached = {
        connection["properties"]["privateLinkServiceId"]
        for each in of(resources, "Microsoft.Network/privateEndpoints")
        for connection in each["properties"]["privateLinkServiceConnections"]
    }
    for each in resources:
        if each["type"] in DATA_SERVICES and each["id"] not in reached:
            yield f"{each['name']} has no endpoint"
    grouped = {each["name"].split("/")[0] for each in of(resources, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")}
    for each in of(resources, "Microsoft.Network/privateEndpoints"):
        if each["name"] not in grouped:
            yield f"{each['name']} has no DNS zone"
    subnets = {each["name"]: each["properties"] for each in virtual[0]["properties"]["subnets"]}
    if ipaddress.ip_network(subnets["app"]["addressPrefix"]).prefixlen > 26:
        yield "the app's subnet is smaller than /26"
    if subnets["app"]["delegations"][0]["properties"]["serviceName"] != "Microsoft.App/environments":
        yield "the app's subnet is delegated to something else"
    for each in of(resources, "Microsoft.Web/sites"):
        if each["properties"]["virtualNetworkSubnetId"] != f"{virtual[0]['id']}/subnets/app":
            yield f"{each['name']} is not in its subnet"


def closed(resources: list[Resource]) -> Iterator[str]:
    """No data service has a public address that answers."""
    for each in resources:
        if each["type"] in DATA_SERVICES and each["properties"]["publicNetworkAccess"] != "Disabled":
            yield f"{each['name']} is open"


def roles(resources: list[Resource]) -> Iterator[str]:
    """Every role is one that was decided on for what it is assigned on, and nothing more than one resource wide."""
    for each in of(resources, "Microsoft.Authorization/roleAssignments"):
        scope = re.search(r"/resourceGroups/[^/]+/providers/(?P<kind>Microsoft\.\w+/\w+)/[^/']+'?", each["id"])
        role = each["properties"]["roleDefinitionId"].rpartition("/")[2]
        if scope is None or role not in ROLES.get(scope["kind"], {}):
            yield f"{scope['kind'] if scope else 'a group or a subscription'}: {role}"
    for each in of(resources, "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments"):
        properties = each["properties"]
        if not properties["roleDefinitionId"].endswith(COSMOS_DATA_CONTRIBUTOR) or "/dbs/" not in properties["scope"]:
            yield f"Cosmos DB: {properties}"


def names(resources: list[Resource]) -> Iterator[str]:
    """Names are such as Azure takes."""
    for each in resources:
        if (rule := NAMES.get(each["type"])) and not re.fullmatch(rule, each["name"]):
            yield f"{each['type']}: {each['name']}"


def flex_consumption(resources: list[Resource]) -> Iterator[str]:
    """The app has nothing that Flex Consumption refuses."""
    for each in of(resources, "Microsoft.Web/sites"):
        yield from (f"siteConfig.{name}" for name in each["properties"]["siteConfig"] if name in REFUSED_SITE_CONFIG)
        scale = each["properties"]["functionAppConfig"]["scaleAndConcurrency"]
        if not 40 <= scale["maximumInstanceCount"] <= 1000:
            yield f"maximumInstanceCount {scale['maximumInstanceCount']}"
        ready = {group["name"]: group["instanceCount"] for group in scale["alwaysReady"]}
        if (
            each["properties"]["functionAppConfig"]["siteUpdateStrategy"]["type"] == "RollingUpdate"
            and ready.get("http", 0) < 2
        ):
            yield f"rolling updates with always-ready instances {ready}"
    for each in of(resources, "Microsoft.Web/sites/config"):
        yield from (name for name in each["properties"] if FORBIDDEN_ON_FLEX.match(name))


def tags(resources: list[Resource]) -> Iterator[str]:
    """azd finds what is its own."""
    for each in of(resources, "Microsoft.Resources/resourceGroups"):
        if "azd-env-name" not in each["tags"]:
            yield each["name"]
    for each in of(resources, "Microsoft.Web/sites"):
        if each["tags"].get("azd-service-name") != "api":
            yield each["name"]


ALL: tuple[Check, ...] = (api_versions, keyless, networks, roles, names, flex_consumption, tags)


def findings(resources: list[Resource], *checks: Check) -> list[str]:
    """Return what all checks, or the given ones, find."""
    return [f"{check.__name__}: {found}" for check in checks or ALL for found in check(resources)]
