"""What a deployment will be given: ``main.parameters.json`` with the azd environment's values in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "main.parameters.json"


def resolve(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters by name, each ``${NAME=default}`` replaced as azd does; an empty value is the default, too."""
    document = json.loads(FILE.read_text(encoding="utf-8"))["parameters"]
    return {name: _filled(item["value"], values) for name, item in document.items()}


def is_private(parameters: Mapping[str, Any]) -> bool:
    """Tell whether data services are reached through private endpoints; as ``main.bicep`` has it."""
    return _in_prod_unless_said(parameters, "usePrivateNetwork")


def is_locked(parameters: Mapping[str, Any]) -> bool:
    """Tell whether data and logs are locked; as ``main.bicep`` has it."""
    return _in_prod_unless_said(parameters, "lockData")


def _in_prod_unless_said(parameters: Mapping[str, Any], name: str) -> bool:
    said = parameters[name]
    return bool(said == "true" if said else parameters["environmentType"] == "prod")


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, values) for key, each in value.items()}
    return re.sub(r"\$\{(\w+)(?:=([^}]*))?\}", lambda match: values.get(match[1]) or match[2] or "", value)
