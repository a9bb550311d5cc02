"""The settings: what is refused, and that docs/configuration.md tells the truth about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from settings import Settings, SettingsError, load_settings
from tests.support.settings import AZURE

ROOT = Path(__file__).parents[1]
TENANT = "8a1c8b5e-0000-4000-8000-000000000001"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def load(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_nothing_set_is_the_embedded_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {})
    assert (settings.model_kind, settings.model_name) == ("offline", "offline")
    assert settings.cosmos_endpoint is None
    assert settings.serves_loopback_only


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, {"OPENAI_API_KEY": "", "PORT": ""}).model_kind == "offline"


def test_azure_goes_before_any_other_model(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {**AZURE, "OPENAI_API_KEY": "k", "OPENAI_MODEL": "gpt-x"})
    assert (settings.model_kind, settings.model_name) == ("azure", "gpt-4o")


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {"OPENAI_BASE_URL": "http://localhost:11434/v1", "OPENAI_MODEL": "llama3.2"})
    assert (settings.model_kind, settings.model_name) == ("openai", "llama3.2")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com"}, "AZURE_OPENAI_MODEL"),
        ({"OPENAI_API_KEY": "k"}, "OPENAI_MODEL"),
        ({"OPENAI_BASE_URL": "localhost:11434"}, "OPENAI_BASE_URL"),
        ({"COSMOS_ENDPOINT": "http://chat.documents.azure.com"}, "COSMOS_ENDPOINT"),
        ({**AZURE, "API_KEYS": ""}, "API_KEYS"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8, proxy"}, "TRUSTED_PROXIES"),
        ({**AZURE, "TURN_TIMEOUT_SECONDS": "221"}, "TURN_TIMEOUT_SECONDS"),
        ({**AZURE, "BATCH_TIMEOUT_SECONDS": "221"}, "BATCH_TIMEOUT_SECONDS"),
        ({"API_KEYS": "secret"}, "API_KEYS"),
        ({"API_KEYS": '[{"name": "web", "tenant": "contoso", "sha256": "short"}]'}, "API_KEYS.0.SHA256"),
        ({"API_KEYS": '[{"name": "a b", "tenant": "contoso", "sha256": "' + "0" * 64 + '"}]'}, "API_KEYS.0.NAME"),
        ({"ENTRA_TENANT_IDS": TENANT}, "ENTRA_AUDIENCE"),
        ({"ENTRA_AUDIENCE": "api://chat"}, "ENTRA_AUDIENCE"),
        ({"ENTRA_CLIENT_ID": TENANT}, "ENTRA_TENANT_IDS"),
        ({"ENTRA_CLIENT_ID": "chat", "ENTRA_TENANT_IDS": TENANT, "ENTRA_AUDIENCE": "api://chat"}, "ENTRA_CLIENT_ID"),
        ({"API_KEYS": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/k/1)"}, "API_KEYS"),
        ({"REDIS_URL": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/r/1)"}, "REDIS_URL"),
        ({"ENTRA_TENANT_IDS": "common", "ENTRA_AUDIENCE": "api://chat"}, "ENTRA_TENANT_IDS.0"),
        ({"ENTRA_AUTHORITY": "http://login.microsoftonline.com"}, "ENTRA_AUTHORITY"),
        ({"ENTRA_AUTHORITY": "https://ann:secret@login.microsoftonline.com"}, "ENTRA_AUTHORITY"),
        ({"TELEMETRY_HASH_KEY": "secret"}, "TELEMETRY_HASH_KEY"),
        ({"TURN_TIMEOUT_SECONDS": "0"}, "TURN_TIMEOUT_SECONDS"),
        ({"TURN_TIMEOUT_SECONDS": "soon"}, "TURN_TIMEOUT_SECONDS"),
        ({"TURN_MAX_MODEL_CALLS": "1"}, "TURN_MAX_MODEL_CALLS"),
        ({"HISTORY_MAX_MESSAGES": "-1"}, "HISTORY_MAX_MESSAGES"),
        ({"PORT": "70000"}, "PORT"),
        ({"BOT_APP_ID": TENANT}, "BOT_TENANT_ID"),
        ({"BOT_APP_ID": "chat", "BOT_TENANT_ID": TENANT}, "BOT_APP_ID"),
        ({**AZURE, "BOT_APP_ID": TENANT, "BOT_TENANT_ID": TENANT}, "BOT_QUEUE_URL"),
        ({"BOT_QUEUE_URL": "https://name.queue.core.windows.net/"}, "BOT_QUEUE_URL"),
        ({"BOT_QUEUE_URL": "http://name.queue.core.windows.net/activities"}, "BOT_QUEUE_URL"),
        ({"BOT_OPENID_METADATA": "http://login.example.com/x"}, "BOT_OPENID_METADATA"),
        ({**AZURE, "TEAMS_LOCAL": "1"}, "TEAMS_LOCAL"),
        ({"TEAMS_LOCAL": "1", "BOT_APP_ID": TENANT, "BOT_TENANT_ID": TENANT}, "TEAMS_LOCAL"),
        ({"TEAMS_LOCAL": "1", "HOST": "192.0.2.1"}, "TEAMS_LOCAL"),
        ({**AZURE, "DEV_MODE": "1"}, "DEV_MODE"),
        ({"DEV_MODE": "1", "API_KEYS": AZURE["API_KEYS"]}, "DEV_MODE"),
        ({"DEV_MODE": "1", "ENTRA_TENANT_IDS": TENANT, "ENTRA_AUDIENCE": "api://chat"}, "DEV_MODE"),
        ({"DEV_MODE": "1", "HOST": "192.0.2.1"}, "DEV_MODE"),
        ({"OFFLINE_DELAY_MS": "-1"}, "OFFLINE_DELAY_MS"),
        ({**AZURE, "COSMOS_ENDPOINT": ""}, "COSMOS_ENDPOINT"),
        ({**AZURE, "AZURE_OPENAI_ENDPOINT": ""}, "AZURE_OPENAI_ENDPOINT"),
    ],
)
def test_what_cannot_work_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{named}: "):
        load(monkeypatch, environment)


def test_a_reference_that_the_platform_could_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^API_KEYS: its Key Vault reference could not be resolved"):
        load(monkeypatch, {"API_KEYS": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/k/1)"})


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "COSMOS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_an_address_without_a_scheme_is_told_what_is_taken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    taken = r"must start with https:// \(or http:// on this machine or its network, such as http://localhost:8080\)"
    with pytest.raises(SettingsError, match=rf"^{name}: {taken}$"):
        load(monkeypatch, {"OPENAI_MODEL": "m", name: "localhost:8080"})
    monkeypatch.setenv(name, "http://localhost:8080")
    load_settings()


def test_tenants_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {"ENTRA_TENANT_IDS": f"{TENANT}, {TENANT.upper()}", "ENTRA_AUDIENCE": "api://chat"})
    assert settings.entra_tenant_ids == (TENANT, TENANT)
    assert settings.auth_configured


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {"OPENAI_API_KEY": "very-secret", "OPENAI_MODEL": "m"})
    assert "very-secret" not in repr(settings)


def test_the_documentation_lists_every_setting_with_its_default() -> None:
    ours = (ROOT / "docs/configuration.md").read_text().partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ?(.*?) ?\|", ours, re.MULTILINE))
    expected = {
        name.upper(): "" if field.default in (None, ()) else f"`{field.default}`"
        for name, field in Settings.model_fields.items()
    }
    assert rows == expected
