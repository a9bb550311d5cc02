"""Before a deployment: finds what would make it fail, and gives the environment the values that it cannot do without."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from infra.hooks import azure_checks, budget, choices, entra, keys, model_checks
from infra.hooks.commands import Azure, CommandError, environment, remember
from infra.hooks.parameters import is_private, resolve
from infra.hooks.problem import DeploymentProblem


def problems(azure: Azure, values: Mapping[str, str], parameters: dict[str, Any]) -> Iterator[DeploymentProblem]:
    """Yield all that is wrong.

    :raises CommandError: if Azure cannot be asked.
    """
    yield from choices.wrong_choices(parameters)
    yield from choices.wrong_settings(parameters, values)
    redis, bot = parameters["deployRedis"] == "true", parameters["deployBot"] == "true"
    yield from azure_checks.providers(azure, network=is_private(parameters), redis=redis, bot=bot)
    yield from azure_checks.region(azure, parameters["location"])
    yield from (model_checks.existing if parameters["existingOpenAiName"] else model_checks.model)(azure, parameters)


def budget_start(azure: Azure, parameters: dict[str, Any]) -> dict[str, str]:
    """Return the first month of the budget: that of the one that Azure has, which never changes, else the current one."""
    if not budget.is_wanted(parameters):
        return {}
    found = budget.get(azure, parameters)
    start = found["properties"]["timePeriod"]["startDate"][:10] if found else f"{datetime.now(UTC):%Y-%m}-01"
    return {"BUDGET_START_DATE": start}


def public_access(values: Mapping[str, str], parameters: dict[str, Any]) -> dict[str, str]:
    """Return whether data services stay open for now: a live app must get its endpoints before they close.

    ``PRIVATE_NETWORK`` is what the last provisioning said of itself.
    """
    endpoints_missing = values.get("PRIVATE_NETWORK", "").lower() != "true"
    keep = bool(values.get("SERVICE_API_NAME")) and is_private(parameters) and endpoints_missing
    return {"KEEP_PUBLIC_ACCESS": str(keep).lower()}


def tell(found: Iterable[DeploymentProblem]) -> int:
    """Print what is wrong and return the exit code."""
    for problem in found:
        print(f"- {problem.text}\n    {problem.command}", file=sys.stderr)
    return 1


def main() -> int:
    """Check, prepare, and return the exit code."""
    try:
        values = environment()
        if unusable := [*choices.unnamed(values), *azure_checks.signed_in()]:
            return tell(unusable)
        if unreadable := list(choices.not_numbers(resolve(values))):
            return tell(unreadable)
        azure = Azure(values["AZURE_SUBSCRIPTION_ID"])
        in_pipeline = azure_checks.as_service_principal()
        changes = entra.application(azure, values) if values.get("ENTRA_AUTH", "").lower() == "true" else {}
        made, shown = keys.updated({**values, **changes}, in_pipeline=in_pipeline)
        changes |= made | keys.telemetry_hash_key(values, in_pipeline=in_pipeline)
        parameters = resolve({**values, **changes})
        changes |= budget_start(azure, parameters) | public_access(values, parameters)
        if found := list(problems(azure, {**values, **changes}, resolve({**values, **changes}))):
            return tell(found)
        for name, value in changes.items():
            if values.get(name) != value:
                remember(name, value)
    except (CommandError, keys.KeysError) as error:
        print(f"The deployment cannot be prepared: {error}", file=sys.stderr)
        return 1
    if shown:
        print(f"Your first API key, for the header X-API-Key (it is shown only now; only its hash is kept):\n  {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
