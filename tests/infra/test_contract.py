"""The infrastructure fits the app: its settings, the containers of its store, its host's files; and nothing takes a key."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cosmos.documents import CONTAINERS
from settings import Settings
from tests.infra.bicep import BicepFile, at, literal, objects, properties, read_all, text_of

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
MAIN = BicepFile.read(INFRA / "main.bicep")
PARAMETERS: dict[str, Any] = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
# What the platform, the identity libraries and OpenTelemetry read; no setting of ours.
PLATFORM = {
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsDisableHomepage",
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
    "data_dir": "no SQLite on Azure",
    "host": "the Functions host listens",
    "port": "the same",
    "website_site_name": "set by Azure",
}
FORBIDDEN_ON_FLEX = re.compile(
    r"FUNCTIONS_WORKER_RUNTIME|FUNCTIONS_EXTENSION_VERSION|WEBSITE_RUN_FROM_PACKAGE|SCM_DO_BUILD|ENABLE_ORYX|WEBSITE_CONTENT"
    r"|PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"
)


def explicit_settings(file: BicepFile) -> set[str]:
    [body] = [
        each.value
        for each in file.of("resource").values()
        if each.target.startswith("Microsoft.Web/sites/config@") and literal(at(_only(each.value), "name")) == "appsettings"
    ]
    return {key for literal_part in objects(at(_only(body), "properties")) for key in properties(literal_part)}


def _only(node: Any) -> Any:
    [body] = objects(node)
    return body


def unreachable_settings(explicit: set[str], extra: set[str], fields: set[str]) -> tuple[set[str], set[str]]:
    """Return the settings that no deployment can set, and the variables that nothing reads."""
    given = {name.lower() for name in (explicit - PLATFORM) | extra}
    return fields - given - set(NOT_ON_AZURE), given - fields


def test_every_setting_can_be_set_and_nothing_else_is() -> None:
    explicit = explicit_settings(BicepFile.read(INFRA / "core/host/function-app.bicep"))
    extra = set(PARAMETERS["extraAppSettings"]["value"])
    assert unreachable_settings(explicit, extra, set(Settings.model_fields)) == (set(), set())
    assert explicit >= PLATFORM
    assert explicit.isdisjoint(extra)
    assert not [name for name in explicit | extra if FORBIDDEN_ON_FLEX.match(name)]
    assert set(NOT_ON_AZURE) <= set(Settings.model_fields)


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
    assert (settings.model_kind, settings.weather_source) == ("azure", "open-meteo")


def containers(file: BicepFile) -> dict[str, dict[str, Any]]:
    return {
        literal(at(_only(each.value), "name")): literal(at(_only(each.value), "properties", "resource"))
        for each in file.of("resource").values()
        if "/sqlDatabases/containers@" in each.target
    }


def test_containers_are_what_the_store_expects() -> None:
    expected = {
        definition.id: {
            "id": definition.id,
            "partitionKey": {"paths": [definition.partition_key], "kind": "Hash", "version": 2},
            "indexingPolicy": definition.indexing_policy,
            **({} if definition.default_ttl is None else {"defaultTtl": definition.default_ttl}),
        }
        for definition in CONTAINERS
    }
    assert containers(BicepFile.read(INFRA / "core/database/cosmos-nosql.bicep")) == expected


def test_a_container_that_differs_is_found(tmp_path: Path) -> None:
    text = (INFRA / "core/database/cosmos-nosql.bicep").read_text()
    path = tmp_path / "cosmos.bicep"
    path.write_text(text.replace("'/seq/?'", "'/sequence/?'", 1))
    assert containers(BicepFile.read(path)) != containers(BicepFile.read(INFRA / "core/database/cosmos-nosql.bicep"))


def test_no_key_is_ever_asked_for() -> None:
    for file in read_all(INFRA):
        assert not re.search(r"listKeys|listAccountSas|connectionString\(|primaryKey|\.listSecrets", file.text), file.path


def value_of(path: str, resource: str, *keys: str) -> Any:
    return literal(at(_only(BicepFile.read(INFRA / path).of("resource")[resource].value), "properties", *keys))


def test_keys_and_passwords_are_off() -> None:
    assert value_of("core/database/cosmos-nosql.bicep", "account", "disableLocalAuth") is True
    assert value_of("core/ai/openai.bicep", "account", "disableLocalAuth") is True
    assert value_of("core/storage/storage-account.bicep", "account", "allowSharedKeyAccess") is False
    assert value_of("core/monitor/monitoring.bicep", "applicationInsights", "DisableLocalAuth") is True
    assert value_of("core/cache/managed-redis.bicep", "database", "accessKeysAuthentication") == "Disabled"
    assert value_of("core/security/key-vault.bicep", "vault", "enableRbacAuthorization") is True
    assert value_of("core/host/function-app.bicep", "passwords", "allow") is False
    assert value_of("core/host/function-app.bicep", "app", "httpsOnly") is True


def test_every_service_behind_the_network_has_its_endpoint() -> None:
    parameters = at(_only(MAIN.of("module")["privateEndpoints"].value), "params")
    named = {(literal(at(each, "name")), literal(at(each, "groupId"))) for each in objects(at(parameters, "connections"))}
    services = {("cosmos", "Sql"), ("openai", "account"), ("key-vault", "vault"), ("redis", "redisEnterprise")}
    assert named == services | {("blob", "blob"), ("queue", "queue"), ("table", "table")}
    closed = {
        name
        for name, module in MAIN.of("module").items()
        for body in objects(module.value)
        if text_of(properties(at(body, "params")).get("publicNetworkAccess", body)) == "publicNetworkAccess"
    }
    assert closed == {"cosmos", "openAi", "keyVault", "storage", "redis"}


def test_the_instance_takes_more_turns_than_requests_are_sent_to_it() -> None:
    concurrency = int(PARAMETERS["httpConcurrency"]["value"].strip("${}").partition("=")[2])
    host = json.loads((ROOT / "host.json").read_text())
    assert concurrency <= host["extensions"]["http"]["maxConcurrentRequests"]
    assert concurrency <= Settings.model_fields["process_max_turns"].default


def test_azd_deploys_this_app_with_hooks_for_both_shells() -> None:
    azure = yaml.safe_load((ROOT / "azure.yaml").read_text())
    assert azure["services"] == {"api": {"project": ".", "language": "python", "host": "function"}}
    assert literal(at(_only(MAIN.of("module")["api"].value), "params", "serviceName")) == "api"
    assert set(azure["hooks"]) == {"preprovision", "postprovision", "postdeploy"}
    for name, hook in azure["hooks"].items():
        assert {shell: hook[shell]["shell"] for shell in hook} == {"posix": "sh", "windows": "pwsh"}
        assert (INFRA / "hooks" / f"{name}.py").exists()
        assert all(f"infra.hooks.{name}" in hook[shell]["run"] for shell in hook)
        # The shell reads it; nothing runs.
        subprocess.run(["sh", "-n", "-c", hook["posix"]["run"]], check=True, timeout=10)
