"""What would be deployed, evaluated without Azure: a few choices of parameters, filled in by azd's rules.

``python -m tests.infra.snapshots`` (``make snapshots``) writes the golden files anew.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.hooks.parameters import resolve
from tests.infra import bicep_cli

GOLDEN = Path(__file__).parent / "snapshots"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
LOCATION = "eastus2"
ENVIRONMENT = {
    "AZURE_ENV_NAME": "demo",
    "AZURE_LOCATION": LOCATION,
    "AZURE_PRINCIPAL_ID": "11111111-1111-1111-1111-111111111111",
}
CHOICES: dict[str, dict[str, str]] = {
    "dev": {},
    "prod": {"ENVIRONMENT_TYPE": "prod"},
    "everything": {
        "AZURE_ENV_NAME": "demo.(1)",
        "ENVIRONMENT_TYPE": "prod",
        "ZONE_REDUNDANT": "true",
        "ROLLING_UPDATES": "true",
        "COSMOS_CAPACITY_MODE": "autoscale",
        "COSMOS_MAX_THROUGHPUT": "4000",
        "DEPLOY_REDIS": "true",
        "DEPLOY_BOT": "true",
        "ALERT_EMAIL": "on-call@example.com",
        "BUDGET_AMOUNT": "100",
        "BUDGET_START_DATE": "2026-11-01",
        "API_KEYS_BASE64": "W10=",
        "TELEMETRY_HASH_KEY": "0" * 64,
        "CORS_ORIGINS": "https://a.example.com, https://b.example.com",
        "ENTRA_TENANT_IDS": "22222222-2222-2222-2222-222222222222",
        "ENTRA_AUDIENCE": "33333333-3333-3333-3333-333333333333",
        "ENTRA_CLIENT_ID": "33333333-3333-3333-3333-333333333333",
    },
    "existing": {
        "USE_PRIVATE_NETWORK": "true",
        "KEEP_PUBLIC_ACCESS": "true",
        "EXISTING_OPENAI_NAME": "ours",
        "EXISTING_OPENAI_RESOURCE_GROUP": "rg-shared",
    },
}
GOLDEN_CHOICES = ("dev", "everything")
# Not those of main.parameters.json, which are an assistant's: its tools may come and go.
OF_TOOLS = {"TIDES_URL": "https://tides.example.com"}
# Built from infra/queries, and compared with them elsewhere.
LEFT_OUT = {"Microsoft.Insights/workbooks", "Microsoft.Portal/dashboards"}


class MissingParameter(Exception):
    """A parameter that azd would ask for, or with ``--no-prompt`` stop at."""


def as_azd_gives_it(declared: Mapping[str, Any], value: Any) -> Any:
    """Return a value of ``main.parameters.json`` as azd hands it to Bicep; ``None`` where it leaves Bicep's default.

    Source: ``armParameterFileValue`` and ``ensureParameters`` of azd's Bicep provider: strings become what the parameter's type
    says if they can, and an empty string counts only where it differs from a default.

    :raises MissingParameter: if there is neither a value nor a default.
    """
    default = declared.get("defaultValue")
    given = value
    if isinstance(value, str):
        match declared["type"].lower():
            case "bool":
                given = {"true": True, "false": False}.get(value.lower())
            case "int":
                given = int(value) if value.lstrip("-").isdigit() else None
            case _:
                given = value if value or (isinstance(default, str) and default) else None
    if given is None and default is None:
        raise MissingParameter
    return given


def parameters(template: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Return what azd gives a compiled template for an environment's values.

    :raises MissingParameter: naming those that it would ask for.
    """
    filled = resolve(values)
    given, missing = {}, []
    for name, declared in template["parameters"].items():
        try:
            given[name] = as_azd_gives_it(declared, filled.get(name, ""))
        except MissingParameter:
            missing.append(name)
    if missing:
        raise MissingParameter(", ".join(missing))
    return {name: value for name, value in given.items() if value is not None}


def write_parameters(path: Path, given: Mapping[str, Any]) -> None:
    """Write a ``.bicepparam`` file beside a folder ``infra``."""
    lines = [f"param {name} = {literal(value)}" for name, value in given.items()]
    path.write_text("\n".join(["using 'infra/main.bicep'", *lines]) + "\n")


def literal(value: Any) -> str:
    """Return a value in Bicep's notation."""
    if isinstance(value, dict):
        return "{\n" + "".join(f"  {key}: {literal(each)}\n" for key, each in value.items()) + "}"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${") + "'"
    return json.dumps(value)


def take(folder: Path, template: Mapping[str, Any], choice: str) -> dict[str, Any]:
    """Evaluate one of the choices for the ``infra`` in a folder; Bicep takes no absolute path, and leaves its files there."""
    path = folder / f"{choice}.bicepparam"
    given = parameters(template, {**ENVIRONMENT, **CHOICES[choice]})
    write_parameters(path, {**given, "toolAppSettings": OF_TOOLS})
    return bicep_cli.snapshot(path, subscription=SUBSCRIPTION, location=LOCATION)


def compiled(folder: Path) -> dict[str, Any]:
    """Copy ``infra`` into a folder and return its ``main.bicep`` as an ARM template."""
    shutil.copytree(bicep_cli.INFRA, folder / "infra", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    done = bicep_cli.build(folder / "infra/main.bicep", folder / "main.json")
    assert done.returncode == 0, done.stdout + done.stderr
    template: dict[str, Any] = json.loads((folder / "main.json").read_text())
    return template


def golden_text(snapshot: Mapping[str, Any]) -> str:
    """Return a snapshot as the golden files hold it: sorted, as its order differs from run to run."""
    resources = [each for each in snapshot["predictedResources"] if each["type"] not in LEFT_OUT]
    shown = {"outputs": snapshot["outputs"], "resources": sorted(resources, key=lambda each: str(each["id"]))}
    return json.dumps(shown, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the golden files."""
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        template = compiled(folder)
        for choice in GOLDEN_CHOICES:
            text = golden_text(take(folder, template, choice))
            (GOLDEN / f"{choice}.json").write_text(text)
            print(f"{choice}: {text.count(chr(10))} lines")


if __name__ == "__main__":
    main()
