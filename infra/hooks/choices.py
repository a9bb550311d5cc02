"""Values of the environment that Azure or the app would refuse, found before anything is deployed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from infra.hooks.problem import DeploymentProblem
from settings import Settings

NAME_MAX_LENGTH = 32
APP_SUBNET_MAX_PREFIX = 26
NUMBERS = {
    "openAiCapacity": "OPENAI_CAPACITY",
    "cosmosMaxThroughput": "COSMOS_MAX_THROUGHPUT",
    "alwaysReadyInstances": "ALWAYS_READY_INSTANCES",
    "maximumInstances": "MAXIMUM_INSTANCES",
    "instanceMemoryMB": "INSTANCE_MEMORY_MB",
    "httpConcurrency": "HTTP_CONCURRENCY",
    "logRetentionInDays": "LOG_RETENTION_DAYS",
    "budgetAmount": "BUDGET_AMOUNT",
}


def unnamed(values: Mapping[str, str]) -> Iterator[DeploymentProblem]:
    """What azd asks for at its first ``azd up``, but not before this hook in ``azd provision``."""
    for name in ("AZURE_ENV_NAME", "AZURE_SUBSCRIPTION_ID", "AZURE_LOCATION"):
        if not values.get(name):
            yield DeploymentProblem(f"{name} is not set: azd up asks for it", f"azd up, or azd env set {name} <value>")


def not_numbers(parameters: dict[str, Any]) -> Iterator[DeploymentProblem]:
    """Values that are to be whole numbers and are none: azd would ask for them instead."""
    for parameter, name in NUMBERS.items():
        if not parameters[parameter].isdecimal():
            yield _refused(name, parameters[parameter], "it is a whole number")


def wrong_choices(parameters: dict[str, Any]) -> Iterator[DeploymentProblem]:
    """Values of ``main.parameters.json`` that Azure refuses, some only after a quarter of an hour."""
    name = parameters["environmentName"]
    if len(name) > NAME_MAX_LENGTH or not re.fullmatch(r"[\w().-]*[\w()-]", name):
        yield DeploymentProblem(
            f"The environment's name {name} becomes a part of names on Azure: at most {NAME_MAX_LENGTH} characters, "
            "and no period at its end",
            "azd env new <another name>",
        )
    if parameters["cosmosCapacityMode"] == "autoscale" and int(parameters["cosmosMaxThroughput"]) % 1000:
        yield _refused("COSMOS_MAX_THROUGHPUT", parameters["cosmosMaxThroughput"], "it goes in steps of 1,000")
    if int(parameters["maximumInstances"]) not in range(40, 1001):
        yield _refused("MAXIMUM_INSTANCES", parameters["maximumInstances"], "Flex Consumption takes 40 to 1,000")
    if int(parameters["logRetentionInDays"]) not in range(30, 731):
        yield _refused("LOG_RETENTION_DAYS", parameters["logRetentionInDays"], "it is 30 to 730")
    origins = parameters["extraAppSettings"]["CORS_ORIGINS"]
    if origins and not all(origin.strip() for origin in origins.split(",")):
        yield _refused("CORS_ORIGINS", origins, "the platform takes no empty origin")
    yield from _wrong_subnets(parameters)
    if int(parameters["budgetAmount"]) and not parameters["alertEmail"]:
        yield DeploymentProblem("A budget needs somebody to write to", "azd env set ALERT_EMAIL <address>")


def _wrong_subnets(parameters: dict[str, Any]) -> Iterator[DeploymentProblem]:
    networks = {}
    for variable in ("NETWORK_ADDRESS_PREFIX", "APP_SUBNET_PREFIX", "ENDPOINT_SUBNET_PREFIX"):
        first, *rest = variable.split("_")
        given = parameters[first.lower() + "".join(part.title() for part in rest)]
        try:
            networks[variable] = ipaddress.ip_network(given)
        except ValueError:
            yield _refused(variable, given, "it is a network such as 10.20.0.0/26")
    if len(networks) < 3:
        return
    whole, app, endpoints = networks.values()
    if app.prefixlen > APP_SUBNET_MAX_PREFIX:
        yield _refused("APP_SUBNET_PREFIX", str(app), f"it is /{APP_SUBNET_MAX_PREFIX} or larger")
    for variable, subnet in (("APP_SUBNET_PREFIX", app), ("ENDPOINT_SUBNET_PREFIX", endpoints)):
        if subnet.version != whole.version or not subnet.subnet_of(whole):  # type: ignore[arg-type]  # one version, just compared
            yield _refused(variable, str(subnet), f"it is not a part of {whole}")
    if app.overlaps(endpoints):
        yield _refused("ENDPOINT_SUBNET_PREFIX", str(endpoints), f"it overlaps {app}")


def _refused(name: str, value: Any, reason: str) -> DeploymentProblem:
    return DeploymentProblem(f"{name} {value} is refused: {reason}", f"azd env set {name} <another value>")


def wrong_settings(parameters: dict[str, Any], values: Mapping[str, str]) -> Iterator[DeploymentProblem]:
    """Settings that the app would refuse at its start."""
    deployed = {
        "website_site_name": "app",
        "cosmos_endpoint": "https://cosmos.example.com",
        "azure_openai_endpoint": "https://openai.example.com",
        "azure_openai_model": parameters["openAiDeployment"],
        "api_keys": values.get("API_KEYS", "[]"),
        "telemetry_hash_key": values.get("TELEMETRY_HASH_KEY") or None,
        **{name.lower(): value for name, value in parameters["extraAppSettings"].items() if value},
    }
    try:
        Settings.model_validate(deployed)
    except ValidationError as error:
        for item in error.errors():
            name = ".".join(map(str, item["loc"])).upper()
            text = f"{name}: {item['msg']}" if name else item["msg"].removeprefix("Value error, ")
            yield DeploymentProblem(text, f"azd env set {text.partition(':')[0].partition('.')[0]} <another value>")
