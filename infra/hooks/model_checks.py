"""What Azure must have before the model can be deployed: the model itself, not on its way out, and quota for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.hooks.commands import Azure, CommandError
from infra.hooks.problem import DeploymentProblem

# New deployments of such models are refused; those that are there go on until the model retires.
CLOSED = {"Deprecating", "Deprecated"}
WARN_DAYS = 90


def model(azure: Azure, parameters: dict[str, Any]) -> Iterator[DeploymentProblem]:
    """The model can be deployed in the region, or is there already, and the quota is enough; a warning if it ends soon."""
    location, name, version = parameters["location"], parameters["openAiModel"], parameters["openAiModelVersion"]
    listed = azure.ask("cognitiveservices", "model", "list", "--location", location)
    offers = [each["model"] for each in listed if each["kind"] == "OpenAI"]
    deployed = _deployment(azure, parameters)
    versions = {each["version"]: each for each in offers if each["name"] == name}
    if not versions:
        yield DeploymentProblem(
            f"{location} has no model {name}, but: {', '.join(sorted({each['name'] for each in offers if _chats(each)}))}",
            "azd env set OPENAI_MODEL_NAME <one of these>",
        )
    elif version not in versions:
        yield DeploymentProblem(
            f"{name} has no version {version} in {location}, but: {', '.join(sorted(versions))}",
            f"azd env set OPENAI_MODEL_VERSION {max(versions)}",
        )
    elif versions[version].get("lifecycleStatus") in CLOSED and not deployed:
        yield _closed(versions[version], offers)
    else:
        _warn_of_retirement(versions[version])
        yield from _sku(azure, parameters, versions[version], deployed)


def existing(azure: Azure, parameters: dict[str, Any]) -> Iterator[DeploymentProblem]:
    """The account that is to be used has the deployment."""
    account, deployment = parameters["existingOpenAiName"], parameters["openAiDeployment"]
    group = parameters["existingOpenAiResourceGroup"] or f"rg-{parameters['environmentName']}"
    try:
        listed = azure.ask("cognitiveservices", "account", "deployment", "list", "--name", account, "--resource-group", group)
    except CommandError as error:
        yield DeploymentProblem(
            f"The Azure OpenAI account {account} cannot be read: {error}", "azd env set EXISTING_OPENAI_NAME <its name>"
        )
        return
    names = [each["name"] for each in listed]
    if deployment not in names:
        yield DeploymentProblem(
            f"{account} has no deployment {deployment}, but: {', '.join(names) or 'none'}",
            "azd env set AZURE_OPENAI_MODEL <one of these>",
        )


def _warn_of_retirement(offer: dict[str, Any]) -> None:
    ends = (offer.get("deprecation") or {}).get("inference")
    if not ends:
        return
    day = datetime.fromisoformat(ends.replace("Z", "+00:00"))
    if (day if day.tzinfo else day.replace(tzinfo=UTC)) - datetime.now(UTC) < timedelta(days=WARN_DAYS):
        print(f"WARNING: {offer['name']} {offer['version']} is retired on {day:%Y-%m-%d}: plan for another (OPENAI_MODEL_NAME)")


def _chats(offer: dict[str, Any]) -> bool:
    return "chatCompletion" in (offer.get("capabilities") or {})


def _closed(offer: dict[str, Any], offers: list[dict[str, Any]]) -> DeploymentProblem:
    """Name the newest model of the same family, such as the newest of gpt-…-mini."""
    family = _family(offer["name"])
    open_ones = [each for each in offers if each.get("lifecycleStatus") not in CLOSED and _chats(each)]
    kin = [each for each in open_ones if _family(each["name"]) == family] or open_ones
    newest = max(kin, key=lambda each: str(each["version"]), default=None)
    text = f"{offer['name']} {offer['version']} is closed to new deployments ({offer['lifecycleStatus']})"
    if newest is None:
        return DeploymentProblem(text, "azd env set AZURE_LOCATION <another region>")
    return DeploymentProblem(
        f"{text}; the newest of its family is {newest['name']} {newest['version']}",
        f"azd env set OPENAI_MODEL_NAME {newest['name']} && azd env set OPENAI_MODEL_VERSION {newest['version']}",
    )


def _family(name: str) -> str:
    return re.sub(r"[\d.]+o?", "", name)


def _deployment(azure: Azure, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """Return our deployment as Azure has it: the environment may be new, as a pipeline's is each time."""
    group = f"rg-{parameters['environmentName']}"
    if not azure.ask("group", "exists", "--name", group):
        return None
    kind = "Microsoft.CognitiveServices/accounts"
    for account in azure.ask("resource", "list", "--resource-group", group, "--resource-type", kind):
        deployments = azure.ask(
            "cognitiveservices", "account", "deployment", "list", "--name", account["name"], "--resource-group", group
        )
        for each in deployments:
            if each["name"] == parameters["openAiDeployment"]:
                found: dict[str, Any] = each
                return found
    return None


def _sku(
    azure: Azure, parameters: dict[str, Any], offer: dict[str, Any], deployed: dict[str, Any] | None
) -> Iterator[DeploymentProblem]:
    sku, location = parameters["openAiSku"], parameters["location"]
    skus = {each["name"]: each for each in offer["skus"]}
    if sku not in skus:
        yield DeploymentProblem(
            f"{offer['name']} {offer['version']} cannot be deployed as {sku} in {location}, but as: {', '.join(sorted(skus))}",
            "azd env set OPENAI_SKU <one of these>",
        )
        return
    usage = skus[sku].get("usageName")
    taken = 0
    if deployed and (deployed["properties"]["model"]["name"], deployed["sku"]["name"]) == (offer["name"], sku):
        taken = int(deployed["sku"]["capacity"])
    wanted = int(parameters["openAiCapacity"])
    usages = azure.ask("cognitiveservices", "usage", "list", "--location", location)
    # A subscription that has never deployed a model may have no entry: that is not a quota of zero.
    for each in usages:
        if each["name"]["value"] == usage and (free := int(each["limit"] - each["currentValue"]) + taken) < wanted:
            yield DeploymentProblem(
                f"The quota {usage} in {location} has {free} thousand tokens a minute left; {wanted} are wanted",
                f"azd env set OPENAI_CAPACITY {free}"
                if free > 0
                else "azd env set AZURE_LOCATION <another region>, or ask for quota",
            )
