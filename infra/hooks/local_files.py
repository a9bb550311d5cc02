"""The files from which the API runs on this machine: ``.env`` and ``local.settings.json``. What the user wrote there stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


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
