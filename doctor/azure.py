"""Azure's side of the settings: names of resources for the commands, and who we are to Azure."""

from __future__ import annotations

import asyncio
from shlex import quote
from urllib.parse import urlsplit

import jwt
from azure.core.credentials_async import AsyncSupportsTokenInfo, AsyncTokenProvider

from agent.llm.connection import AZURE_SCOPE
from doctor.findings import Finding
from settings import Settings

COSMOS_SCOPE = "https://cosmos.azure.com/.default"
TOKEN_SECONDS = 10.0
SIGNED_IN_USER = '"$(az ad signed-in-user show --query id --output tsv)"'


def account_name(endpoint: str) -> str:
    """Return a resource's name, the first part of its address, quoted for a shell."""
    return quote((urlsplit(endpoint).hostname or "").partition(".")[0])


def account_options(kind: str, endpoint: str, *, name_option: str = "--name") -> str:
    """Return the options that lead ``az`` to a resource; ``kind`` is its command group, whose list knows the resource group."""
    name = account_name(endpoint)
    query = f"\"[?name=='{name}'].resourceGroup\""
    return f'{name_option} {name} --resource-group "$(az {kind} list --query {query} --output tsv)"'


def scopes(settings: Settings) -> dict[str, str]:
    """Return what tokens are needed for, by the service's name: a service with a key needs none."""
    needed = {}
    if settings.cosmos_endpoint and not settings.cosmos_key:
        needed["Cosmos DB"] = COSMOS_SCOPE
    if settings.model_kind == "azure" and not settings.azure_openai_api_key:
        needed["Azure OpenAI"] = AZURE_SCOPE
    return needed


async def check_identity(settings: Settings) -> tuple[list[Finding], str]:
    """Get a token for each service that needs one; also return the id of who got it, for commands."""
    principal = SIGNED_IN_USER
    findings = []
    for service, scope in scopes(settings).items():
        finding, token = await _get_token(settings, service, scope)
        findings.append(finding)
        if token:
            principal = _object_id(token) or principal
    return findings or [Finding("identity", "not needed with these settings")], principal


async def _get_token(settings: Settings, service: str, scope: str) -> tuple[Finding, str | None]:
    """Try the credentials of the default chain one by one, as the chain itself does not tell which one worked."""
    from azure.identity.aio import DefaultAzureCredential

    failures = []
    async with DefaultAzureCredential() as chain:
        for credential in chain.credentials:
            name = type(credential).__name__
            try:
                async with asyncio.timeout(TOKEN_SECONDS):
                    token = await _token(credential, scope)
            except Exception as error:  # noqa: BLE001 - each kind of credential fails in its own way
                failures.append(f"{name} ({type(error).__name__})")
                continue
            return Finding("identity", f"{name} gives a token for {service}"), token
    fix = "az login"
    if settings.website_site_name:
        site = quote(settings.website_site_name)
        group = f'"$(az functionapp list --query "[?name==\'{site}\'].resourceGroup" --output tsv)"'
        fix = f"az functionapp identity assign --name {site} --resource-group {group}"
    return Finding("identity", f"no token for {service} from {', '.join(failures) or 'any credential'}", fix), None


async def _token(credential: AsyncTokenProvider, scope: str) -> str:
    if isinstance(credential, AsyncSupportsTokenInfo):
        return (await credential.get_token_info(scope)).token
    return (await credential.get_token(scope)).token


def _object_id(token: str) -> str | None:
    """Return who a token is for; it is only put into a command, so nothing needs to be verified."""
    try:
        claim = jwt.decode(token, options={"verify_signature": False}).get("oid")
    except jwt.InvalidTokenError:
        return None
    return quote(str(claim)) if claim else None
