"""What Azure must have before a deployment can work. Each check yields what is wrong, with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.hooks.commands import CommandError, ask

RUNTIME_VERSION = "3.13"
PROVIDERS = (
    "Microsoft.Authorization",
    "Microsoft.CognitiveServices",
    "Microsoft.Consumption",
    "Microsoft.DocumentDB",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.OperationalInsights",
    "Microsoft.Portal",
    "Microsoft.Resources",
    "Microsoft.Storage",
    "Microsoft.Web",
)
# Needed by parameters only.
NETWORK_PROVIDERS = ("Microsoft.App", "Microsoft.Network")
REDIS_PROVIDERS = ("Microsoft.Cache",)
BOT_PROVIDERS = ("Microsoft.BotService",)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that would make the deployment fail, and the command that mends it."""

    text: str
    command: str


def signed_in() -> Iterator[Problem]:
    """``az`` and ``azd`` have an account."""
    try:
        ask("az", "account", "show")
    except CommandError as error:
        yield Problem(f"The Azure CLI cannot be used: {error}", "az login")
    try:
        status = ask("azd", "auth", "login", "--check-status").get("status")
    except CommandError as error:
        yield Problem(f"azd cannot be used: {error}", "azd auth login")
    else:
        if status != "success":
            yield Problem("azd is not signed in", "azd auth login")


def as_service_principal() -> bool:
    """Tell whether the Azure CLI acts for a pipeline, not for a person.

    :raises CommandError: if nobody is signed in.
    """
    return bool(ask("az", "account", "show")["user"]["type"] == "servicePrincipal")


def providers(subscription: str, *, network: bool, redis: bool, bot: bool) -> Iterator[Problem]:
    """The subscription knows the kinds of resources that are created."""
    query = "[?registrationState=='Registered'].namespace"
    registered = {name.lower() for name in ask("az", "provider", "list", "--subscription", subscription, "--query", query)}
    chosen = ((network, NETWORK_PROVIDERS), (redis, REDIS_PROVIDERS), (bot, BOT_PROVIDERS))
    for name in (*PROVIDERS, *(name for wanted, names in chosen if wanted for name in names)):
        if name.lower() not in registered:
            yield Problem(
                f"The resource provider {name} is not registered in the subscription",
                f"az provider register --namespace {name} --subscription {subscription} --wait",
            )


def region(location: str) -> Iterator[Problem]:
    """Flex Consumption with our Python is there."""
    regions = sorted(_plain(each["name"]) for each in ask("az", "functionapp", "list-flexconsumption-locations"))
    if _plain(location) not in regions:
        yield Problem(
            f"Azure Functions Flex Consumption is not in {location}, but in: {', '.join(regions)}",
            "azd env set AZURE_LOCATION <one of these>",
        )
        return
    runtimes = ask("az", "functionapp", "list-flexconsumption-runtimes", "--location", location, "--runtime", "python")
    versions = [str(each["version"]) for each in runtimes]
    if RUNTIME_VERSION not in versions:
        yield Problem(
            f"Python {RUNTIME_VERSION} is not in {location} yet, only {', '.join(versions)}",
            "azd env set AZURE_LOCATION <another region>",
        )


def model(subscription: str, parameters: dict[str, Any], *, deployed: bool) -> Iterator[Problem]:
    """The model can be deployed in the region, and the quota is enough; ``deployed``: it is there already and counts in it."""
    location, name, version = parameters["location"], parameters["openAiModel"], parameters["openAiModelVersion"]
    sku = parameters["openAiSku"]
    listed = ask("az", "cognitiveservices", "model", "list", "--location", location, "--subscription", subscription)
    offers = [each["model"] for each in listed if each["kind"] == "OpenAI"]
    versions = sorted({each["version"] for each in offers if each["name"] == name})
    if not versions:
        names = sorted({each["name"] for each in offers if "chatCompletion" in each.get("capabilities", {})})
        yield Problem(
            f"{location} has no model {name}, but: {', '.join(names)}", "azd env set OPENAI_MODEL_NAME <one of these>"
        )
        return
    if version not in versions:
        yield Problem(
            f"{name} has no version {version} in {location}, but: {', '.join(versions)}",
            f"azd env set OPENAI_MODEL_VERSION {versions[-1]}",
        )
        return
    skus = sorted(
        {each["name"] for offer in offers if (offer["name"], offer["version"]) == (name, version) for each in offer["skus"]}
    )
    if sku not in skus:
        yield Problem(
            f"{name} {version} cannot be deployed as {sku} in {location}, but as: {', '.join(skus)}",
            "azd env set OPENAI_SKU <one of these>",
        )
    elif not deployed:
        yield from _quota(subscription, location, f"OpenAI.{sku}.{name}", int(parameters["openAiCapacity"]))


def _quota(subscription: str, location: str, name: str, wanted: int) -> Iterator[Problem]:
    usages = ask("az", "cognitiveservices", "usage", "list", "--location", location, "--subscription", subscription)
    free = next((int(each["limit"] - each["currentValue"]) for each in usages if each["name"]["value"] == name), 0)
    if free < wanted:
        yield Problem(
            f"The quota {name} in {location} has {free} thousand tokens a minute left; {wanted} are wanted",
            f"azd env set OPENAI_CAPACITY {free}" if free else "azd env set AZURE_LOCATION <another region>, or ask for quota",
        )


def existing_model(subscription: str, account: str, group: str, deployment: str) -> Iterator[Problem]:
    """The account that is to be used has the deployment."""
    place = ("--name", account, "--resource-group", group, "--subscription", subscription)
    try:
        deployments = [each["name"] for each in ask("az", "cognitiveservices", "account", "deployment", "list", *place)]
    except CommandError as error:
        yield Problem(
            f"The Azure OpenAI account {account} cannot be read: {error}", "azd env set EXISTING_OPENAI_NAME <its name>"
        )
        return
    if deployment not in deployments:
        yield Problem(
            f"{account} has no deployment {deployment}, but: {', '.join(deployments) or 'none'}",
            "azd env set AZURE_OPENAI_MODEL <one of these>",
        )


def _plain(region: str) -> str:
    return region.replace(" ", "").lower()
