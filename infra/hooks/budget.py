"""The budget of an environment, as ``main.bicep`` names it and as Azure has it."""

from __future__ import annotations

import re
from typing import Any

from infra.hooks.commands import Azure

API_VERSION = "2024-08-01"


def is_wanted(parameters: dict[str, Any]) -> bool:
    """Tell whether there is to be one: it takes an amount and somebody to write to."""
    return bool(int(parameters["budgetAmount"]) and parameters["alertEmail"])


def path(parameters: dict[str, Any]) -> str:
    """Return where it is, below the subscription; a budget's name has fewer characters to choose from than an environment's."""
    environment = parameters["environmentName"]
    name = re.sub(r"[.()]", "-", environment)
    return f"/resourceGroups/rg-{environment}/providers/Microsoft.Consumption/budgets/budget-{name}"


def get(azure: Azure, parameters: dict[str, Any]) -> Any:
    """Return what Azure has; ``None`` if there is none.

    :raises CommandError: if Azure cannot be asked.
    """
    return azure.get(path(parameters), API_VERSION)
