"""After provisioning: ``.env`` and ``local.settings.json`` for running the API here with the data and the model on Azure."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.hooks.commands import CommandError, environment

NAMES = ("COSMOS_ENDPOINT", "COSMOS_DATABASE", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_MODEL")
ROOT = Path(__file__).parents[2]


def merge_env(path: Path, values: Mapping[str, str]) -> list[str]:
    """Add what an env file lacks; return the names whose other value was kept."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    there = {name.strip(): value for name, sign, value in (line.partition("=") for line in lines) if sign}
    lines += [f"{name}={value}" for name, value in values.items() if name not in there]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [name for name, value in values.items() if there.get(name, value) != value]


def merge_local_settings(path: Path, example: Path, values: Mapping[str, str]) -> list[str]:
    """Fill what ``local.settings.json`` leaves empty or as in the example; return the names whose other value was kept."""
    defaults = json.loads(example.read_text(encoding="utf-8"))
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else defaults
    there = document.setdefault("Values", {})
    kept = []
    for name, value in values.items():
        if there.get(name, "") in ("", value, defaults["Values"].get(name)):
            there[name] = value
        else:
            kept.append(name)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return kept


def main(folder: Path = ROOT) -> int:
    """Write both files and return the exit code."""
    try:
        values = environment()
    except CommandError as error:
        print(f"The environment cannot be read: {error}", file=sys.stderr)
        return 1
    print(f"The API will be at {values['BASE_URL']}")
    if values["PRIVATE_NETWORK"].lower() == "true" or values.get("ENVIRONMENT_TYPE") == "prod":
        print("Its data cannot be reached from this machine, so that .env and local.settings.json stay as they are.")
        return 0
    wanted = {name: values[name] for name in NAMES}
    kept = {*merge_env(folder / ".env", wanted)}
    kept |= {*merge_local_settings(folder / "local.settings.json", ROOT / "local.settings.json.example", wanted)}
    print("Written: .env and local.settings.json" + (f"; yours was kept: {', '.join(sorted(kept))}" if kept else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
