"""An app registration for signing in with Entra ID, when ``ENTRA_AUTH=true`` asks for one. It has no secret.

The chat page signs users in with it (authorization code with PKCE), and the API accepts the tokens that it is issued for:
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from infra.hooks.commands import Azure, CommandError, ask, run

GRAPH = "https://graph.microsoft.com/v1.0/applications"
SCOPE = "access_as_user"
# For the page on this machine, in dev.
LOCAL_PAGES = ("http://localhost:7071/", "http://127.0.0.1:7071/")


def application(azure: Azure, values: Mapping[str, str]) -> dict[str, str]:
    """Make or find the registration, and return the settings that name it.

    :raises CommandError: if the directory refuses, with what an administrator is to do.
    """
    tenant = azure.ask("account", "show")["tenantId"]
    name = f"Chat API {values['AZURE_ENV_NAME']}"
    try:
        found = _find(values.get("ENTRA_CLIENT_ID"), name)
        if found is None:
            found = ask("az", "ad", "app", "create", "--display-name", name, "--sign-in-audience", "AzureADMyOrg")
        _describe(found)
        _service_principal(found["appId"])
    except CommandError as error:
        raise CommandError(
            f"No app registration for ENTRA_AUTH: {error}. Somebody with the role Application Developer can run azd up, or set "
            "ENTRA_TENANT_IDS, ENTRA_AUDIENCE and ENTRA_CLIENT_ID to a registration of yours and ENTRA_AUTH to false"
        ) from error
    return {
        "ENTRA_TENANT_IDS": values.get("ENTRA_TENANT_IDS") or tenant,
        "ENTRA_AUDIENCE": found["appId"],
        "ENTRA_CLIENT_ID": found["appId"],
    }


def allow_page(client_id: str, base_url: str, *, local: bool) -> None:
    """Let the registration send users back to the chat page; other addresses that it has stay.

    :raises CommandError: if the directory refuses.
    """
    found = ask("az", "ad", "app", "show", "--id", client_id)
    there = found.get("spa", {}).get("redirectUris", [])
    wanted = [*there, *(each for each in (f"{base_url}/", *(LOCAL_PAGES if local else ())) if each not in there)]
    if wanted != there:
        _patch(found["id"], {"spa": {"redirectUris": wanted}})


def _find(client_id: str | None, name: str) -> dict[str, Any] | None:
    if client_id:
        known: dict[str, Any] = ask("az", "ad", "app", "show", "--id", client_id)
        return known
    # A pipeline's environment is new each time and knows no id.
    filter = "displayName eq '{}'".format(name.replace("'", "''"))
    listed: list[dict[str, Any]] = ask("az", "ad", "app", "list", "--filter", filter)
    if len(listed) > 1:
        ids = ", ".join(each["appId"] for each in listed)
        raise CommandError(f'there are several app registrations "{name}": azd env set ENTRA_CLIENT_ID <one of {ids}>')
    return listed[0] if listed else None


def _describe(found: Mapping[str, Any]) -> None:
    """Let the registration expose one scope, and its own page use it without asking the user for consent."""
    id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{found['appId']}/{SCOPE}"))
    api = found.get("api") or {}
    scopes = api.get("oauth2PermissionScopes") or []
    if any(scope["value"] == SCOPE for scope in scopes):
        return
    scope = {
        "id": id,
        "value": SCOPE,
        "type": "User",
        "isEnabled": True,
        "adminConsentDisplayName": "Chat as the user",
        "adminConsentDescription": "Lets the app chat on behalf of the signed-in user.",
        "userConsentDisplayName": "Chat as you",
        "userConsentDescription": "Lets the app chat on your behalf.",
    }
    changes = {"requestedAccessTokenVersion": 2, "oauth2PermissionScopes": [*scopes, scope]}
    _patch(found["id"], {"identifierUris": [f"api://{found['appId']}"], "api": changes})
    # Only a scope that is there already can be allowed.
    allowed = {"appId": found["appId"], "delegatedPermissionIds": [id]}
    _patch(found["id"], {"api": {**changes, "preAuthorizedApplications": [allowed]}})


def _service_principal(client_id: str) -> None:
    if not ask("az", "ad", "sp", "list", "--filter", f"appId eq '{client_id}'"):
        run("az", "ad", "sp", "create", "--id", client_id)


def _patch(object_id: str, body: Mapping[str, Any]) -> None:
    headers = "Content-Type=application/json"
    url = f"{GRAPH}/{object_id}"
    run("az", "rest", "--method", "patch", "--url", url, "--headers", headers, "--body", json.dumps(body))
