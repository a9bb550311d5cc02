"""Every Bicep file, as Microsoft's compiler sees it; and every check finds the fault it is for."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.infra import bicep_cli, checks, snapshots
from tests.infra.conftest import Resources
from tests.infra.snapshots import ENVIRONMENT, GOLDEN, GOLDEN_CHOICES, MissingParameter, parameters

INFRA = bicep_cli.INFRA
pytestmark = pytest.mark.timeout(300)


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(INFRA, folder / "infra", ignore=shutil.ignore_patterns("*.py", "__pycache__")))


def test_it_compiles(template: dict[str, Any]) -> None:
    assert {each["type"] for each in template["resources"]} >= {"Microsoft.Resources/deployments"}


@pytest.mark.usefixtures("bicep")
def test_no_file_has_a_warning_or_another_format(tmp_path: Path) -> None:
    infra = copied(tmp_path)
    assert bicep_cli.lint_all(infra) == []
    bicep_cli.format_all(infra)
    changed = [
        path.name for path in INFRA.rglob("*.bicep") if path.read_text() != (infra / path.relative_to(INFRA)).read_text()
    ]
    assert changed == []


MUTATIONS = {
    "wrong property": ("core/host/function-app.bicep", "httpsOnly: true", "httpOnly: true", "BCP089"),
    "wrong value": ("core/database/cosmos-nosql.bicep", "'Session'", "'Sesion'", "BCP088"),
    "missing parameter": ("core/network/private-network.bicep", "      networkId: network.outputs.id\n", "", "BCP035"),
    "unknown output": ("core/network/private-network.bicep", "network.outputs.id", "network.outputs.wrong", "BCP053"),
    "checkov as a pragma": ("core/ai/openai.bicep", "// checkov:skip", "#checkov:skip", "BCP001"),
    "unused parameter": (
        "core/monitor/budget.bicep",
        "param name string",
        "param name string\nparam more string",
        "no-unused-params",
    ),
    "undefined name": ("core/cache/managed-redis.bicep", "skuName\n  }", "skuNmae\n  }", "BCP057"),
    "a secret in an output": (
        "core/security/key-vault.bicep",
        "output id string = vault.id",
        "output id string = apiKeys",
        "secrets",
    ),
}


@pytest.mark.usefixtures("bicep")
def test_faults_are_found(tmp_path: Path) -> None:
    infra = copied(tmp_path)
    for number, (file, old, new, _) in enumerate(MUTATIONS.values()):
        text = (infra / file).read_text()
        assert old in text, file
        (infra / file).with_name(f"mutated-{number}.bicep").write_text(text.replace(old, new))
    done = bicep_cli.run("lint", "--pattern", f"{infra}/**/mutated-*.bicep")
    said = bicep_cli.diagnostics(done)
    for number, (name, (*_, code)) in enumerate(MUTATIONS.items()):
        assert any(line.startswith(f"mutated-{number}.bicep") and code in line for line in said), name


@pytest.mark.parametrize("name", GOLDEN_CHOICES)
def test_what_is_deployed_has_not_changed(name: str, snapshot: Callable[[str], dict[str, Any]]) -> None:
    golden = (GOLDEN / f"{name}.json").read_text()
    same = snapshots.golden_text(snapshot(name)) == golden
    assert same, "make snapshots writes tests/infra/snapshots anew: look at their difference before you commit it"


def test_azd_asks_for_nothing_but_what_nobody_can_know(template: dict[str, Any]) -> None:
    given = parameters(template, ENVIRONMENT)
    assert given["environmentType"] == "dev"
    with pytest.raises(MissingParameter, match=r"^environmentName, location$"):
        parameters(template, {})


def test_a_parameter_that_azd_would_ask_for_is_found(template: dict[str, Any]) -> None:
    changed = copy.deepcopy(template)
    del changed["parameters"]["alertEmail"]["defaultValue"]
    changed["parameters"]["new"] = {"type": "bool"}
    with pytest.raises(MissingParameter, match="alertEmail, new"):
        parameters(changed, ENVIRONMENT)


def test_the_parameters_file_gives_what_main_declares(template: dict[str, Any]) -> None:
    document = json.loads((INFRA / "main.parameters.json").read_text())
    assert set(document["parameters"]) == set(template["parameters"])


def test_azd_offers_regions_with_quota_for_the_default_model(template: dict[str, Any]) -> None:
    metadata = template["parameters"]["location"]["metadata"]["azd"]
    given = parameters(template, ENVIRONMENT)
    wanted = f"OpenAI.{given['openAiSku']}.{given['openAiModel']},{given['openAiCapacity']}"
    assert metadata == {"type": "location", "usageName": [wanted]}


def test_no_output_has_the_name_of_an_input(template: dict[str, Any]) -> None:
    """azd down erases its outputs from the environment, and an input with them."""
    inputs = (INFRA / "main.parameters.json").read_text()
    assert [name for name in template["outputs"] if f"${{{name}=" in inputs or f"${{{name}}}" in inputs] == []


# What would be deployed


def test_everything_deployed_is_as_it_must_be(resources: Resources) -> None:
    assert checks.findings(resources) == []


def test_prod_is_closed_and_locked(snapshot: Callable[[str], dict[str, Any]]) -> None:
    for name in ("prod", "everything"):
        resources = snapshot(name)["predictedResources"]
        assert checks.findings(resources, checks.closed) == []
        locks = checks.of(resources, "Microsoft.Authorization/locks")
        assert {each["name"] for each in locks} == {"keep-the-threads", "keep-the-logs"}


def test_a_live_app_gets_its_endpoints_before_its_services_are_closed(snapshot: Callable[[str], dict[str, Any]]) -> None:
    resources = snapshot("existing")["predictedResources"]
    assert len(checks.of(resources, "Microsoft.Network/privateEndpoints")) == 4
    assert len(checks.findings(resources, checks.closed)) == 3


def altered(resources: Resources, kind: str, change: Callable[[dict[str, Any]], None]) -> Resources:
    changed = copy.deepcopy(resources)
    for each in checks.of(changed, kind):
        change(each)
    assert changed != resources
    return changed


FAULTS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "ftpsState": ("Microsoft.Web/sites", lambda each: each["properties"]["siteConfig"].update(ftpsState="Disabled")),
    "too few instances": (
        "Microsoft.Web/sites",
        lambda each: each["properties"]["functionAppConfig"]["scaleAndConcurrency"].update(maximumInstanceCount=10),
    ),
    "nothing ready": (
        "Microsoft.Web/sites",
        lambda each: each["properties"]["functionAppConfig"]["scaleAndConcurrency"].update(alwaysReady=[]),
    ),
    "a forbidden setting": ("Microsoft.Web/sites/config", lambda each: each["properties"].update(ENABLE_ORYX_BUILD="true")),
    "keys": ("Microsoft.DocumentDB/databaseAccounts", lambda each: each["properties"].update(disableLocalAuth=False)),
    "a key asked for": ("Microsoft.Web/sites/config", lambda each: each["properties"].update(A="[listKeys('x', '1').key1]")),
    "no endpoint": ("Microsoft.DocumentDB/databaseAccounts", lambda each: each.update(id="another")),
    "a small subnet": (
        "Microsoft.Network/virtualNetworks",
        lambda each: each["properties"]["subnets"][0]["properties"].update(addressPrefix="10.20.0.0/27"),
    ),
    "outside the network": ("Microsoft.Web/sites", lambda each: each["properties"].update(virtualNetworkSubnetId=None)),
    "a role too wide": (
        "Microsoft.Authorization/roleAssignments",
        lambda each: each["properties"].update(roleDefinitionId="/x/b24988ac-6180-42a0-ab88-20f7382dd24c"),
    ),
    "a wider scope": (
        "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments",
        lambda each: each["properties"].update(scope="/the/account"),
    ),
    "a budget's name": ("Microsoft.Consumption/budgets", lambda each: each.update(name="budget-demo.(1)")),
    "an old API": ("Microsoft.KeyVault/vaults", lambda each: each.update(apiVersion="2019-09-01")),
    "azd's tag": ("Microsoft.Web/sites", lambda each: each["tags"].pop("azd-service-name")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_what_is_deployed_is_found(fault: str, snapshot: Callable[[str], dict[str, Any]]) -> None:
    assert checks.findings(altered(snapshot("everything")["predictedResources"], *FAULTS[fault]))


def test_an_open_service_is_found(snapshot: Callable[[str], dict[str, Any]]) -> None:
    def opened(each: dict[str, Any]) -> None:
        each["properties"]["publicNetworkAccess"] = "Enabled"

    resources = altered(snapshot("prod")["predictedResources"], "Microsoft.Storage/storageAccounts", opened)
    assert checks.findings(resources, checks.closed)
