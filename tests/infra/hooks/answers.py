"""What Azure answers the hooks when all is well."""

from __future__ import annotations

from typing import Any

from infra.hooks import azure_checks

ENVIRONMENT = {"AZURE_ENV_NAME": "demo", "AZURE_LOCATION": "westeurope", "AZURE_SUBSCRIPTION_ID": "sub-1"}
OUTPUTS = {
    "SERVICE_API_NAME": "func-x",
    "BASE_URL": "https://func-x.azurewebsites.net",
    "PRIVATE_NETWORK": "False",
    "COSMOS_ENDPOINT": "https://x.documents.azure.com:443/",
    "API_COSMOS_DATABASE": "chat_db",
    "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com/",
    "API_OPENAI_DEPLOYMENT": "chat",
}
# What a first provisioning keeps even if there is nothing to change.
KEPT = {"KEEP_PUBLIC_ACCESS": "false"}
USAGE = "OpenAI.GlobalStandard.gpt5.4-mini"
ALL_PROVIDERS = [
    *azure_checks.PROVIDERS,
    *azure_checks.NETWORK_PROVIDERS,
    *azure_checks.REDIS_PROVIDERS,
    *azure_checks.BOT_PROVIDERS,
]


def offer(name: str = "gpt-5.4-mini", version: str = "2026-03-17", **changes: Any) -> dict[str, Any]:
    """Return a model as Azure offers it; its quota has a name that does not follow from the model's."""
    return {
        "kind": "OpenAI",
        "model": {
            "name": name,
            "version": version,
            "lifecycleStatus": "GenerallyAvailable",
            "deprecation": {"inference": "2035-03-17T00:00:00Z"},
            "capabilities": {"chatCompletion": "true"},
            "skus": [{"name": "GlobalStandard", "usageName": USAGE}],
            **changes,
        },
    }


def usage(free: float) -> list[dict[str, Any]]:
    """Return the quota of the model, and another one."""
    other = {"name": {"value": "OpenAI.GlobalStandard.gpt-5.4-mini"}, "currentValue": 0.0, "limit": 0.0}
    return [other, {"name": {"value": USAGE}, "currentValue": 50.0, "limit": 50.0 + free}]


def good_answers() -> dict[str, Any]:
    """Return an answer for every command of a first deployment."""
    return {
        "az account show": {"id": "sub-1", "tenantId": "22222222-2222-2222-2222-222222222222", "user": {"type": "user"}},
        "azd auth login --check-status": {"status": "success"},
        "az provider list": list(ALL_PROVIDERS),
        "az functionapp list-flexconsumption-locations": [{"name": "West Europe"}, {"name": "eastus"}],
        "az functionapp list-flexconsumption-runtimes": [{"version": "3.12"}, {"version": "3.13"}],
        "az cognitiveservices model list": [offer(), offer("gpt-4.1-mini", "2025-04-14")],
        "az cognitiveservices usage list": usage(100),
        "az group exists": False,
    }


def deployed_answers(capacity: int = 100) -> dict[str, Any]:
    """Return the same for an environment that has been deployed."""
    deployment = {
        "name": "chat",
        "sku": {"name": "GlobalStandard", "capacity": capacity},
        "properties": {"model": {"name": "gpt-5.4-mini", "version": "2026-03-17"}},
    }
    return {
        **good_answers(),
        "az group exists": True,
        "az resource list": [{"name": "oai-x", "type": "Microsoft.CognitiveServices/accounts", "id": "/oai-x"}],
        "az cognitiveservices account deployment list": [deployment],
    }
