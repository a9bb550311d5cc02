"""The infrastructure fits the app: its settings, the containers of its store, its host's files; and nothing takes a key."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import Settings
from stores.cosmos.definitions import CONTAINERS
from tests.infra import checks
from tests.infra.conftest import Resources
from tests.infra.snapshots import OF_TOOLS

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
PARAMETERS: dict[str, Any] = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
# What the platform, the identity libraries and OpenTelemetry read; no setting of ours.
PLATFORM = {
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsDisableHomepage",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
    "AZURE_CLIENT_ID",
    "PYTHON_ENABLE_OPENTELEMETRY",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
}
NOT_ON_AZURE = {
    "azure_openai_api_key": "keyless",
    "cosmos_key": "keyless",
    "openai_api_key": "Azure OpenAI goes before any other server",
    "openai_base_url": "the same",
    "openai_model": "the same",
    "otel_exporter_otlp_endpoint": "telemetry goes to Application Insights",
    "bot_certificate_path": "the bot has an identity",
    "bot_client_secret": "the same",
    "teams_local": "for this machine only",
    "dev_mode": "the same",
    "model_stream": "Azure OpenAI can stream",
    "offline_delay_ms": "no offline model on Azure",
    "allow_anonymous_local": "the same",
    "data_dir": "no SQLite on Azure",
    "host": "the Functions host listens",
    "port": "the same",
    "website_site_name": "set by Azure",
}


def app_settings(resources: Resources) -> dict[str, str]:
    [config] = checks.of(resources, "Microsoft.Web/sites/config")
    found: dict[str, str] = config["properties"]
    return found


def unreachable_settings(explicit: set[str], extra: set[str], fields: set[str]) -> tuple[set[str], set[str]]:
    """Return the settings that no deployment can set, and the variables that nothing reads."""
    given = {name.lower() for name in (explicit - PLATFORM) | extra}
    return fields - given - set(NOT_ON_AZURE), given - fields


def test_every_setting_can_be_set_and_nothing_else_is(snapshot: Callable[[str], dict[str, Any]]) -> None:
    given = set(app_settings(snapshot("everything")["predictedResources"]))
    extra = set(PARAMETERS["extraAppSettings"]["value"])
    assert given >= OF_TOOLS.keys()
    assert unreachable_settings(given - extra - OF_TOOLS.keys(), extra, set(Settings.model_fields)) == (set(), set())
    assert given >= PLATFORM
    assert set(NOT_ON_AZURE) <= set(Settings.model_fields)


def test_an_extra_setting_never_replaces_one_that_follows_from_a_resource(template: dict[str, Any]) -> None:
    extra = set(PARAMETERS["extraAppSettings"]["value"])
    assert extra.isdisjoint({"COSMOS_ENDPOINT", "COSMOS_DATABASE", "AZURE_OPENAI_ENDPOINT", "API_KEYS", "REDIS_URL"})
    assert extra.isdisjoint(PLATFORM)


def test_the_host_is_told_of_queues_only_with_a_bot(choice: str, resources: Resources) -> None:
    settings = app_settings(resources)
    assert ("AzureWebJobsStorage__queueServiceUri" in settings) is (choice == "everything")
    queues = [
        each["name"].rpartition("/")[2]
        for each in checks.of(resources, "Microsoft.Storage/storageAccounts/queueServices/queues")
    ]
    assert sorted(queues) == (["activities", "activities-poison"] if choice == "everything" else [])


def test_preflights_are_answered_by_the_platform_for_the_same_origins(resources: Resources, choice: str) -> None:
    [site] = checks.of(resources, "Microsoft.Web/sites")
    expected = ["https://a.example.com", "https://b.example.com"] if choice == "everything" else []
    assert site["properties"]["siteConfig"]["cors"]["allowedOrigins"] == expected


def test_a_setting_that_is_forgotten_or_made_up_is_found() -> None:
    assert unreachable_settings({"COSMOS_ENDPOINT"}, {"TYPO"}, {"cosmos_endpoint", "new"}) == ({"new"}, {"typo"})


def test_extra_settings_come_from_variables_of_the_same_name_and_are_unset_by_default() -> None:
    for name, value in PARAMETERS["extraAppSettings"]["value"].items():
        assert value == f"${{{name}=}}"


def test_what_is_deployed_by_default_is_accepted_by_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    for name in PARAMETERS["extraAppSettings"]["value"]:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("WEBSITE_SITE_NAME", "func-x")
    monkeypatch.setenv("COSMOS_ENDPOINT", "https://x.documents.azure.com:443/")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com/")
    monkeypatch.setenv("AZURE_OPENAI_MODEL", "chat")
    monkeypatch.setenv("API_KEYS", json.dumps([{"name": "web", "tenant": "acme", "sha256": "0" * 64}]))
    monkeypatch.setenv("REDIS_URL", "rediss://amr-x.westeurope.redis.azure.net:10000")
    settings = Settings()
    assert settings.redis_takes_identity
    assert settings.model_kind == "azure"


def test_containers_are_what_the_store_expects(resources: Resources) -> None:
    expected = {
        definition.id: {
            "id": definition.id,
            "partitionKey": {"paths": [definition.partition_key], "kind": "Hash", "version": 2},
            "indexingPolicy": definition.indexing_policy,
            **({} if definition.default_ttl is None else {"defaultTtl": definition.default_ttl}),
        }
        for definition in CONTAINERS
    }
    found = checks.of(resources, "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers")
    assert {each["name"].rpartition("/")[2]: each["properties"]["resource"] for each in found} == expected


def test_endpoints_are_those_of_what_is_used(snapshot: Callable[[str], dict[str, Any]]) -> None:
    def endpoints(choice: str) -> dict[str, list[str]]:
        resources = snapshot(choice)["predictedResources"]
        groups = checks.of(resources, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
        return {
            re.sub(r"^pep-\w+-|/default$", "", each["name"]): sorted(
                config["properties"]["privateDnsZoneId"].rpartition("/")[2].removeprefix("privatelink.")
                for config in each["properties"]["privateDnsZoneConfigs"]
            )
            for each in groups
        }

    always = {"cosmos": ["documents.azure.com"], "key-vault": ["vaultcore.azure.net"]}
    assert {*endpoints("prod")} == {*always, "openai", "blob"}
    assert endpoints("prod").items() >= {**always, "openai": ["openai.azure.com"]}.items()
    assert {*endpoints("everything")} == {*always, "openai", "blob", "queue", "table", "redis"}
    # An account that is not ours may be of the kind AIServices.
    assert endpoints("existing")["openai"] == ["cognitiveservices.azure.com", "openai.azure.com", "services.ai.azure.com"]
    assert endpoints("dev") == {}


def principals(resources: Resources, kind: str) -> list[str]:
    return sorted("developer" if "1111" in each["properties"]["principalId"] else "app" for each in checks.of(resources, kind))


def test_a_developer_has_rights_on_data_in_dev_only(snapshot: Callable[[str], dict[str, Any]]) -> None:
    expected = {
        "dev": (["app", "developer"], ["app", "app", "app", "app", "developer"]),
        "prod": (["app"], ["app"] * 4),
        # On an account that is not ours, the developer may have the role already: Azure refuses a second assignment.
        "existing": (["app", "developer"], ["app"] * 4),
    }
    for choice, (data, others) in expected.items():
        resources = snapshot(choice)["predictedResources"]
        assert principals(resources, "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments") == data
        assert principals(resources, "Microsoft.Authorization/roleAssignments") == others


def test_alerts_and_probes_are_for_those_who_are_told(resources: Resources, choice: str) -> None:
    watching = {"Microsoft.Insights/scheduledQueryRules", "Microsoft.Insights/actionGroups", "Microsoft.Insights/webtests"}
    assert bool(watching & {each["type"] for each in resources}) is (choice == "everything")


def test_telemetry_is_kept_as_long_as_asked_for(resources: Resources) -> None:
    tables = checks.of(resources, "Microsoft.OperationalInsights/workspaces/tables")
    assert {each["name"].rpartition("/")[2] for each in tables} >= {"AppTraces", "AppRequests", "AppDependencies", "AppMetrics"}
    assert {each["properties"]["retentionInDays"] for each in tables} == {30}


def test_a_vault_keeps_its_retention_from_dev_to_prod(snapshot: Callable[[str], dict[str, Any]]) -> None:
    vaults = [checks.of(snapshot(choice)["predictedResources"], "Microsoft.KeyVault/vaults")[0] for choice in ("dev", "prod")]
    assert [each["properties"]["softDeleteRetentionInDays"] for each in vaults] == [90, 90]
    assert [each["properties"]["enablePurgeProtection"] for each in vaults] == [None, True]


def test_zones_and_autoscale_follow_their_choices(snapshot: Callable[[str], dict[str, Any]]) -> None:
    for choice, zones in (("dev", False), ("everything", True)):
        resources = snapshot(choice)["predictedResources"]
        [plan] = checks.of(resources, "Microsoft.Web/serverfarms")
        [cosmos] = checks.of(resources, "Microsoft.DocumentDB/databaseAccounts")
        [storage] = checks.of(resources, "Microsoft.Storage/storageAccounts")
        [database] = checks.of(resources, "Microsoft.DocumentDB/databaseAccounts/sqlDatabases")
        assert plan["properties"]["zoneRedundant"] is zones
        assert cosmos["properties"]["locations"][0]["isZoneRedundant"] is zones
        assert storage["sku"]["name"] == ("Standard_ZRS" if zones else "Standard_LRS")
        assert database["properties"]["options"] == ({"autoscaleSettings": {"maxThroughput": 4000}} if zones else {})
        assert cosmos["properties"]["capabilities"] == ([] if zones else [{"name": "EnableServerless"}])


def test_the_instance_takes_more_turns_than_requests_are_sent_to_it() -> None:
    concurrency = int(PARAMETERS["httpConcurrency"]["value"].strip("${}").partition("=")[2])
    host = json.loads((ROOT / "host.json").read_text())
    assert concurrency <= host["extensions"]["http"]["maxConcurrentRequests"]
    assert concurrency <= Settings.model_fields["process_max_turns"].default


def test_azd_deploys_this_app_with_hooks_for_both_shells() -> None:
    azure = yaml.safe_load((ROOT / "azure.yaml").read_text())
    assert azure["services"] == {"api": {"project": ".", "language": "python", "host": "function"}}
    assert set(azure["hooks"]) == {"preprovision", "postprovision", "postdeploy"}
    for name, hook in azure["hooks"].items():
        assert {shell: hook[shell]["shell"] for shell in hook} == {"posix": "sh", "windows": "pwsh"}
        assert (INFRA / "hooks" / f"{name}.py").exists()
        assert all(f"infra.hooks.{name}" in hook[shell]["run"] for shell in hook)
        # The shell reads it; nothing runs.
        subprocess.run(["sh", "-n", "-c", hook["posix"]["run"]], check=True, timeout=10)


def test_the_costs_count_what_is_deployed(snapshot: Callable[[str], dict[str, Any]]) -> None:
    resources = snapshot("everything")["predictedResources"]
    [probe] = checks.of(resources, "Microsoft.Insights/webtests")
    probes = 730 * 3600 / probe["properties"]["Frequency"] * len(probe["properties"]["Locations"])
    assert len(checks.of(resources, "Microsoft.Network/privateEndpoints")) == 4 + 2 + 1
    assert len(checks.of(resources, "Microsoft.Insights/scheduledQueryRules")) == 11
    assert len(checks.of(resources, "Microsoft.Insights/metricAlerts")) == 1
    assert probes == 26_280
    text = (INFRA / "cost.py").read_text()
    assert all(figure in text for figure in ("# 4 with the private network, 2 more with the bot, 1", "# 11 with", "26,280"))


def test_a_pipeline_may_hand_out_the_roles_that_are_assigned_and_no_others() -> None:
    condition = (ROOT / "docs/delivery.md").read_text().partition('roles="')[2].partition('"')[0]
    assert sorted(re.findall(r"[0-9a-f-]{36}", condition)) == sorted(role for roles in checks.ROLES.values() for role in roles)
