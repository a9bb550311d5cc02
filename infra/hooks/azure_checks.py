"""What Azure must have before a deployment can work: signed-in tools, resource providers, a region with Flex Consumption."""

from __future__ import annotations

from collections.abc import Iterator

from infra.hooks.commands import Azure, CommandError, ask
from infra.hooks.problem import DeploymentProblem

RUNTIME_VERSION = "3.13"
REGISTER_SECONDS = 600.0
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


def signed_in() -> Iterator[DeploymentProblem]:
    """``az`` and ``azd`` have an account."""
    try:
        ask("az", "account", "show")
    except CommandError as error:
        yield DeploymentProblem(f"The Azure CLI cannot be used: {error}", "az login")
    try:
        status = ask("azd", "auth", "login", "--check-status").get("status")
    except CommandError as error:
        yield DeploymentProblem(f"azd cannot be used: {error}", "azd auth login")
    else:
        if status != "success":
            yield DeploymentProblem("azd is not signed in", "azd auth login")


def as_service_principal() -> bool:
    """Tell whether the Azure CLI acts for a pipeline, not for a person.

    :raises CommandError: if nobody is signed in.
    """
    return bool(ask("az", "account", "show")["user"]["type"] == "servicePrincipal")


def providers(azure: Azure, *, network: bool, redis: bool, bot: bool) -> Iterator[DeploymentProblem]:
    """The subscription knows the kinds of resources that are created; those that it does not know are registered."""
    listed = azure.ask("provider", "list", "--query", "[?registrationState=='Registered'].namespace")
    registered = {name.lower() for name in listed}
    chosen = ((network, NETWORK_PROVIDERS), (redis, REDIS_PROVIDERS), (bot, BOT_PROVIDERS))
    for name in (*PROVIDERS, *(name for wanted, names in chosen if wanted for name in names)):
        if name.lower() not in registered:
            print(f"Registering the resource provider {name}, which takes a minute or two")
            try:
                azure.run("provider", "register", "--namespace", name, "--wait", seconds=REGISTER_SECONDS)
            except CommandError as error:
                yield DeploymentProblem(
                    f"The resource provider {name} is not registered, and you may not register it: {error}",
                    f"az provider register --namespace {name} --subscription {azure.subscription} --wait (by an Owner)",
                )


def region(azure: Azure, location: str) -> Iterator[DeploymentProblem]:
    """Flex Consumption with our Python is there."""
    regions = sorted(_plain(each["name"]) for each in azure.ask("functionapp", "list-flexconsumption-locations"))
    if _plain(location) not in regions:
        yield DeploymentProblem(
            f"Azure Functions Flex Consumption is not in {location}, but in: {', '.join(regions)}",
            "azd env set AZURE_LOCATION <one of these>",
        )
        return
    runtimes = azure.ask("functionapp", "list-flexconsumption-runtimes", "--location", location, "--runtime", "python")
    versions = [str(each["version"]) for each in runtimes]
    if RUNTIME_VERSION not in versions:
        yield DeploymentProblem(
            f"Python {RUNTIME_VERSION} is not in {location} yet, only {', '.join(versions)}",
            "azd env set AZURE_LOCATION <another region>",
        )


def _plain(region: str) -> str:
    return region.replace(" ", "").lower()
