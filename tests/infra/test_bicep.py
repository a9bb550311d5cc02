"""Every Bicep file: it parses, its names exist, Azure knows its properties. And every check finds the fault it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.infra import checks
from tests.infra.bicep import BicepFile, read_all
from tests.infra.rest_models import MODELS, misspelt

INFRA = Path(__file__).parents[2] / "infra"
FILES = read_all(INFRA)
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
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd": "Cognitive Services OpenAI User",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "1407120a-92aa-4202-b7e9-c0e197c71c8f": "Search Index Data Reader",
    "00000000-0000-0000-0000-000000000002": "Cosmos DB Built-in Data Contributor",
}
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.path.relative_to(INFRA)))


def test_all_files_are_looked_at() -> None:
    assert {file.path.name for file in FILES} >= {"main.bicep", "function-app.bicep", "cosmos-nosql.bicep"}
    used = {(file.path.parent / module.target).resolve() for file in FILES for module in file.of("module").values()}
    assert used | {(INFRA / "main.bicep").resolve()} == {file.path.resolve() for file in FILES}


@every_file
def test_it_parses(file: BicepFile) -> None:
    assert file.errors() == []


@every_file
def test_its_names_exist(file: BicepFile) -> None:
    assert checks.undefined(file) == []
    assert checks.duplicates(file) == []
    assert checks.unused(file) == []
    assert checks.json_keys(file) == []


@every_file
def test_its_modules_get_their_parameters(file: BicepFile) -> None:
    assert checks.module_parameters(file) == []


@every_file
def test_azure_knows_its_properties(file: BicepFile) -> None:
    assert misspelt(file) == []


@every_file
def test_its_api_versions_and_roles_are_known(file: BicepFile) -> None:
    assert checks.api_versions(file, API_VERSIONS) == []
    assert checks.unknown_roles(file, set(ROLES)) == []


def test_the_parameters_file_gives_what_main_declares() -> None:
    main = BicepFile.read(INFRA / "main.bicep")
    assert checks.parameters_file(main, json.loads((INFRA / "main.parameters.json").read_text())) == []


def bicep(folder: Path, text: str) -> BicepFile:
    path = folder / "broken.bicep"
    path.write_text(text)
    return BicepFile.read(path)


@pytest.mark.parametrize("text", ["param a string =", "resource a 'B/c@1' = {\n  name: 'x'\n", "var a = [1, 2\nvar b = }"])
def test_a_syntax_error_is_found(tmp_path: Path, text: str) -> None:
    assert bicep(tmp_path, text).errors()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("var a = b", ["b"]),
        ("output o string = '${wrong}-x'", ["wrong"]),
        ("param a string\nvar b = emty(a)", ["emty()"]),
        ("param list array\nvar b = [for each in list: { a: eahc.b }]", ["eahc"]),
        ("param list array\nvar b = [for (each, index) in list: { a: each.b, i: index }]\nvar c = each", ["each"]),
        ("module m './module.bicep' = {\n  name: 'm'\n}\noutput a string = m.outputs.wrong", ["m.outputs.wrong"]),
        ("module m './module.bicep' = {\n  name: 'm'\n}\noutput a string = m.outputs.right", []),
        ("resource a 'B/c@1' = {\n  name: 'x'\n  dependsOn: [gone]\n}", ["gone"]),
    ],
)
def test_an_undefined_name_is_found(tmp_path: Path, text: str, found: list[str]) -> None:
    (tmp_path / "module.bicep").write_text("output right string = 'x'")
    assert checks.undefined(bicep(tmp_path, text)) == found


def test_what_is_declared_twice_or_not_used_is_found(tmp_path: Path) -> None:
    file = bicep(tmp_path, "param a string\nparam b string\nvar a = 1\nvar c = { d: a, d: 2 }")
    assert checks.duplicates(file) == ["a", "d"]
    assert checks.unused(file) == ["b", "c"]


@pytest.mark.parametrize("condition", ["", "if (true) "])
def test_wrong_module_parameters_are_found(tmp_path: Path, condition: str) -> None:
    (tmp_path / "module.bicep").write_text("param needed string\nparam optional string = 'x'\nparam other string")
    text = f"module m './module.bicep' = {condition}{{\n  params: {{\n    other: 'x'\n    typo: 1\n  }}\n}}"
    assert checks.module_parameters(bicep(tmp_path, text)) == ["m: missing needed", "m: unknown typo"]
    assert checks.module_parameters(bicep(tmp_path, "module m './gone.bicep' = {\n  name: 'm'\n}")) == ["m: no ./gone.bicep"]


def resource(kind: str, body: str) -> str:
    return f"param f bool\nresource r '{kind}@2025-01-01' = {{\n  name: 'x'\n{body}\n}}"


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("Microsoft.Web/sites", "  httpsOnly: true", ["r: httpsOnly"]),
        ("Microsoft.Web/sites", "  properties: {\n    httpOnly: true\n  }", ["r: properties.httpOnly"]),
        (
            "Microsoft.Web/sites",
            "  properties: {\n    functionAppConfig: {\n      runtime: { nam: 'python' }\n    }\n  }",
            ["r: properties.functionAppConfig.runtime.nam"],
        ),
        (
            "Microsoft.DocumentDB/databaseAccounts",
            "  properties: {\n    capabilities: f ? [{ nmae: 'EnableServerless' }] : []\n  }",
            ["r: properties.capabilities.nmae"],
        ),
        (
            "Microsoft.DocumentDB/databaseAccounts",
            "  properties: {\n    backupPolicy: { type: 'Continuous', continuousModeProperties: { tire: 'x' } }\n  }",
            ["r: properties.backupPolicy.continuousModeProperties.tire"],
        ),
        ("Microsoft.Insights/metricAlerts", "  properties: {\n    severty: 1\n  }", ["r: properties.severty"]),
        (
            "Microsoft.Insights/components",
            "  properties: {\n    disableLocalAuth: true\n  }",
            ["r: properties.disableLocalAuth"],
        ),
        ("Microsoft.Insights/diagnosticSettings", "  properties: {\n    log: []\n  }", ["r: properties.log"]),
        ("Microsoft.KeyVault/vaults", "  tags: { anything: 'goes' }", []),
        ("Microsoft.Unknown/things", "", ["Microsoft.Unknown/things: add its model to rest_models.py"]),
    ],
)
def test_a_misspelt_property_is_found(tmp_path: Path, kind: str, body: str, found: list[str]) -> None:
    assert misspelt(bicep(tmp_path, resource(kind, body))) == found


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_is_there_and_refuses_a_made_up_name(tmp_path: Path, kind: str) -> None:
    assert misspelt(bicep(tmp_path, resource(kind, "  madeUp: 1"))) == ["r: madeUp"]


def test_another_api_version_or_role_is_found(tmp_path: Path) -> None:
    text = "resource r 'Microsoft.KeyVault/vaults/secrets@2019-09-01' = {\n  name: '12345678-0000-0000-0000-000000000000'\n}"
    file = bicep(tmp_path, text)
    assert checks.api_versions(file, API_VERSIONS) == ["Microsoft.KeyVault/vaults/secrets@2019-09-01"]
    assert checks.unknown_roles(file, set(ROLES)) == ["12345678-0000-0000-0000-000000000000"]


def test_wrong_keys_of_json_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('{"good": "x", "never": "y"}')
    file = bicep(tmp_path, "var names = loadJsonContent('./names.json')\noutput o string = '${names.good}${names.bad}'")
    assert checks.json_keys(file) == ["names.bad", "names.never"]
    missing = {"parameters": {"b": {"value": 1}, "d": {"value": 1}}}
    assert checks.parameters_file(bicep(tmp_path, "param a string\nparam b string\nparam c string = ''"), missing) == ["a", "d"]
