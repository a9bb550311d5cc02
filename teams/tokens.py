"""Bot Service's tokens: checked with its published keys before anything of a request is believed.

What is checked: https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
import jwt

from errors import Unauthenticated
from identity.signing_keys import FETCH_SECONDS, SigningKeys
from settings import Settings, is_loopback

# How far clocks may differ, as Bot Service has it.
LEEWAY_SECONDS = 300
ISSUER = "https://api.botframework.com"
# Where Bot Service's channels are: the bot's own token goes nowhere else.
SERVICE_HOSTS = ("botframework.com", "botframework.azure.us", "smba.trafficmanager.net", "teams.microsoft.com")


HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")


class Origin(NamedTuple):
    """Where a token says that its activity comes from; ``endorsements`` are its key's channels, ``None`` if none are told."""

    service_url: str
    endorsements: list[str] | None


class BotTokens:
    """Checks the tokens that Bot Service sends with every activity."""

    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        self._app_id = settings.bot_app_id
        self._keys = SigningKeys(http, settings.bot_openid_metadata, is_metadata=True)

    async def verify(self, authorization: str | None) -> Origin:
        """Return what a token was issued for.

        :raises Unauthenticated: if anything about the token is not as it must be.
        :raises IdentityUnavailable: if Bot Service's keys cannot be had.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("an activity without a token")
        try:
            claims = await self._verified(token.strip())
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the activity's token is not valid: {type(error).__name__}") from error
        service_url = claims.get("serviceurl")
        if not isinstance(service_url, str):
            raise Unauthenticated("the activity's token names no service URL")
        kid = jwt.get_unverified_header(token.strip())["kid"]
        return Origin(service_url, self._keys.endorsements(kid))

    async def _verified(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str):
            raise Unauthenticated("the activity's token is not signed with RS256 and a key id")
        # Before the keys are asked for: a user's token, whatever its audience, is none of Bot Service's.
        if jwt.decode(token, options={"verify_signature": False}).get("iss") != ISSUER:
            raise Unauthenticated("the activity's token was not issued by Bot Service")
        return jwt.decode(
            token,
            await self._keys.get(header["kid"]),
            algorithms=["RS256"],
            audience=self._app_id,
            issuer=ISSUER,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "nbf", "iss", "aud"], "strict_aud": True},
        )


@asynccontextmanager
async def open_bot_tokens(settings: Settings) -> AsyncIterator[BotTokens]:
    """Open the connections that keys are fetched on."""
    async with httpx2.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as http:
        yield BotTokens(settings, http)


def is_service_url(url: str, settings: Settings) -> bool:
    """Tell whether activities may be sent to a service URL: to a channel's host, or on this machine to its own emulators."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not HOST.fullmatch(parts.netloc) or "\\" in url:
        return False
    if settings.teams_local or is_loopback(urlsplit(settings.bot_openid_metadata).hostname or ""):
        return parts.scheme in ("http", "https") and is_loopback(host)
    return (
        parts.scheme == "https"
        and port in (None, 443)
        and any(host == allowed or host.endswith(f".{allowed}") for allowed in SERVICE_HOSTS)
    )
