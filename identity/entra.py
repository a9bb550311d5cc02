"""Entra ID access tokens (v1.0 and v2.0): checked with the tenant's published keys.

What is checked: https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import httpx2
import jwt

from errors import Forbidden, IdentityUnavailable, Unauthenticated
from identity.authenticator import Caller
from models import Owner
from settings import Settings

LEEWAY_SECONDS = 60
FETCH_SECONDS = 5.0
# Keys are asked for again after a day, and in between for a key id that is not known, but not more often than this.
MAX_AGE_SECONDS = 24 * 3600.0
FETCH_FLOOR_SECONDS = 60.0
FAILURE_FLOOR_SECONDS = 2.0
V1_ISSUER = "https://sts.windows.net/{tenant}/"
ADMIN_ROLE = "admin"
logger = logging.getLogger(__name__)


class SigningKeys:
    """The keys that an issuer publishes: fetched when first needed, cached, and fetched once by all who wait for them.

    ``url`` is where the keys are, or (``is_metadata``) the OpenID metadata that says where.
    """

    def __init__(self, http: httpx2.AsyncClient, url: str, *, is_metadata: bool = False) -> None:
        self._http = http
        self._url = url
        self._is_metadata = is_metadata
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._next_fetch_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> jwt.PyJWK:
        """Return the key with an id.

        :raises Unauthenticated: if the issuer publishes no such key.
        :raises IdentityUnavailable: if the keys cannot be fetched and none are cached.
        """
        key = self._keys.get(kid)
        if key and monotonic() - self._fetched_at < MAX_AGE_SECONDS:
            return key
        async with self._lock:
            if monotonic() >= self._next_fetch_at:
                await self._fetch()
        if not self._keys:
            raise IdentityUnavailable
        key = self._keys.get(kid)
        if key is None:
            raise Unauthenticated("the token is signed with an unknown key")
        return key

    async def _fetch(self) -> None:
        self._next_fetch_at = monotonic() + FETCH_FLOOR_SECONDS
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                url = (await self._get(self._url))["jwks_uri"] if self._is_metadata else self._url
                published = jwt.PyJWKSet.from_dict(await self._get(url))
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, LookupError, TypeError, ValueError, jwt.PyJWTError) as error:
            logger.warning("signing keys at %s cannot be fetched: %s", self._url, type(error).__name__)
            self._next_fetch_at = monotonic() + FAILURE_FLOOR_SECONDS
            return
        self._keys = {key.key_id: key for key in published.keys if key.key_id and key.key_type == "RSA"}
        self._fetched_at = monotonic()

    async def _get(self, url: str) -> Any:
        response = await self._http.get(url)
        response.raise_for_status()
        return response.json()


class EntraTokens:
    """Checks access tokens of the configured tenants."""

    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        self._authority = settings.entra_authority.rstrip("/")
        self._audience = settings.entra_audience
        self._required = settings.entra_required_permission
        self._keys = {
            tenant: SigningKeys(http, f"{self._authority}/{tenant}/discovery/v2.0/keys") for tenant in settings.entra_tenant_ids
        }

    async def verify(self, token: str) -> Caller:
        """Return who a token was issued to: its tenant and its user's (or application's) object id.

        :raises Unauthenticated: if anything about the token is not as it must be.
        :raises Forbidden: if it lacks the required permission.
        :raises IdentityUnavailable: if the tenant's keys cannot be had.
        """
        try:
            claims = await self._verified(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is not valid: {type(error).__name__}") from error
        user = claims.get("oid")
        if not isinstance(user, str) or not user:
            raise Unauthenticated("the token has no oid")
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
async def open_entra_tokens(settings: Settings) -> AsyncIterator[EntraTokens]:
    """Open the connections that keys are fetched on."""
    async with httpx2.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as http:
        yield EntraTokens(settings, http)


def _permissions(claims: dict[str, Any]) -> set[str]:
    """Return a token's delegated permissions (``scp``) and application roles (``roles``)."""
    scp, roles = claims.get("scp"), claims.get("roles")
    granted = set(scp.split()) if isinstance(scp, str) else set()
    return granted | ({role for role in roles if isinstance(role, str)} if isinstance(roles, list) else set())
