"""Entra ID access tokens (v1.0 and v2.0): checked with the tenant's published keys.

What is checked: https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import httpx2
import jwt

from errors import Forbidden, Unauthenticated
from identity.caller import Caller
from identity.signing_keys import FETCH_SECONDS, SigningKeys
from models import Owner
from settings import Settings

LEEWAY_SECONDS = 60
V1_ISSUER = "https://sts.windows.net/{tenant}/"
ADMIN_ROLE = "admin"
logger = logging.getLogger(__name__)


class EntraTokens:
    """Checks access tokens of the configured tenants."""

    def __init__(self, settings: Settings, http: httpx2.AsyncClient, clock: Callable[[], float]) -> None:
        self._authority = settings.entra_authority.rstrip("/")
        self._audience = settings.entra_audience
        self._required = settings.entra_required_permission
        self._keys = {
            tenant: SigningKeys(http, f"{self._authority}/{tenant}/discovery/v2.0/keys", clock=clock)
            for tenant in settings.entra_tenant_ids
        }

    async def verify(self, token: str) -> Caller:
        """Return who a token was issued to: its tenant and its user's (or application's) object id.

        :raises Unauthenticated: if anything about the token is not as it must be.
        :raises Forbidden: if it lacks the required permission.
        :raises IdentityUnavailable: if the tenant's keys cannot be had.
        """
        try:
            claims = await self._verified(token)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("the token has expired", was_valid=True) from error
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is not valid: {type(error).__name__}") from error
        user = claims.get("oid")
        if not isinstance(user, str) or not user:
            raise Unauthenticated("the token has no oid")
        if not _is_access_token(claims):
            raise Unauthenticated("the token has neither scp nor an application's role")
        permissions = _permissions(claims)
        if self._required and self._required not in permissions:
            raise Forbidden(self._required)
        scopes = {"chat", "admin"} if ADMIN_ROLE in permissions else {"chat"}
        return Caller(Owner(claims["tid"], user), frozenset(scopes))

    async def _verified(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        tenant = jwt.decode(token, options={"verify_signature": False}).get("tid")
        keys = self._keys.get(tenant) if isinstance(tenant, str) else None
        if keys is None:
            raise Unauthenticated("the token's tenant is not one of ours")
        if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str):
            raise Unauthenticated("the token is not signed with RS256 and a key id")
        return jwt.decode(
            token,
            await keys.get(header["kid"]),
            algorithms=["RS256"],
            audience=self._audience,
            issuer=[V1_ISSUER.format(tenant=tenant), f"{self._authority}/{tenant}/v2.0"],
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "nbf", "iss", "aud"]},
        )


@asynccontextmanager
async def open_entra_tokens(settings: Settings, clock: Callable[[], float] = monotonic) -> AsyncIterator[EntraTokens]:
    """Open the connections that keys are fetched on."""
    async with httpx2.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as http:
        yield EntraTokens(settings, http, clock)


def _is_access_token(claims: dict[str, Any]) -> bool:
    """Tell an access token from an ID token, which may have a user's roles but never ``scp``.

    An application's own token has no ``scp`` either: it says ``idtyp``, or its subject is its object id, and somebody has given
    it a role. Without one anybody's application in the tenant would pass.
    """
    if isinstance(claims.get("scp"), str) and claims["scp"].strip():
        return True
    is_application = claims.get("idtyp") == "app" or claims.get("sub") == claims.get("oid")
    return is_application and bool(_permissions(claims))


def _permissions(claims: dict[str, Any]) -> set[str]:
    """Return a token's delegated permissions (``scp``) and application roles (``roles``)."""
    scp, roles = claims.get("scp"), claims.get("roles")
    granted = set(scp.split()) if isinstance(scp, str) else set()
    return granted | ({role for role in roles if isinstance(role, str)} if isinstance(roles, list) else set())
