"""Before a deployment: finds what would make it fail, and gives the environment the values that it cannot do without."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from infra.hooks import azure_checks, keys
from infra.hooks.azure_checks import Problem
from infra.hooks.commands import CommandError, environment, remember
from infra.hooks.parameters import resolve
from settings import Settings


def problems(values: Mapping[str, str], parameters: dict[str, Any]) -> Iterator[Problem]:
    """Yield all that is wrong.

    :raises CommandError: if Azure cannot be asked.
    """
    yield from wrong_settings(parameters, values)
    subscription, location = values["AZURE_SUBSCRIPTION_ID"], parameters["location"]
    private = parameters["usePrivateNetwork"] or str(parameters["environmentType"] == "prod").lower()
    redis, bot = parameters["deployRedis"] == "true", parameters["deployBot"] == "true"
    yield from azure_checks.providers(subscription, network=private == "true", redis=redis, bot=bot)
    yield from azure_checks.region(location)
    if account := parameters["existingOpenAiName"]:
        group = parameters["existingOpenAiResourceGroup"] or f"rg-{parameters['environmentName']}"
        yield from azure_checks.existing_model(subscription, account, group, parameters["openAiDeployment"])
    else:
        yield from azure_checks.model(subscription, parameters, deployed=bool(values.get("SERVICE_API_NAME")))


def wrong_settings(parameters: dict[str, Any], values: Mapping[str, str]) -> Iterator[Problem]:
    """Settings that the app would refuse at its start."""
    deployed = {
        "website_site_name": "app",
        "cosmos_endpoint": "https://cosmos.example.com",
        "azure_openai_endpoint": "https://openai.example.com",
        "azure_openai_model": parameters["openAiDeployment"],
        "api_keys": values.get("API_KEYS", "[]"),
        **{name.lower(): value for name, value in parameters["extraAppSettings"].items() if value},
    }
    try:
        Settings.model_validate(deployed)
    except ValidationError as error:
        for item in error.errors():
            name = ".".join(map(str, item["loc"])).upper()
            text = f"{name}: {item['msg']}" if name else item["msg"].removeprefix("Value error, ")
            yield Problem(text, f"azd env set {text.partition(':')[0].partition('.')[0]} <another value>")


def tell(found: list[Problem]) -> int:
    """Print what is wrong and return the exit code."""
    for problem in found:
        print(f"- {problem.text}\n    {problem.command}", file=sys.stderr)
    return 1


def main() -> int:
    """Check, prepare, and return the exit code."""
    try:
        values = environment()
        if unusable := list(azure_checks.signed_in()):
            return tell(unusable)
        changes, shown = keys.updated(values, in_pipeline=azure_checks.as_service_principal())
        if values.get("BUDGET_AMOUNT", "0") != "0" and not values.get("BUDGET_START_DATE"):
            # Azure wants the first of the month in which a budget is made, and never another one for the same budget.
            changes["BUDGET_START_DATE"] = f"{datetime.now(UTC):%Y-%m}-01"
        values |= changes
        if found := list(problems(values, resolve(values))):
            return tell(found)
        for name, value in changes.items():
            remember(name, value)
    except (CommandError, keys.KeysError) as error:
        print(f"The deployment cannot be prepared: {error}", file=sys.stderr)
        return 1
    if shown:
        print(f"Your first API key, for the header X-API-Key (it is shown only now; only its hash is kept):\n  {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
