"""Who is calling: API keys, Entra ID tokens, or nobody but this machine's user."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from errors import InvalidRequest, Unauthenticated
from identity.api_keys import ApiKeys
from identity.caller import Caller, Credentials
from models import Owner
from settings import Settings

if TYPE_CHECKING:
    from identity.entra import EntraTokens

LOCAL_OWNER = Owner(tenant="local", user="local")
MAX_USER_LENGTH = 128
NO_IDENTITY = (
    "No identity is configured, so only this machine itself is served: not through a proxy, and not to pages of other sites. "
    "Set API_KEYS or ENTRA_TENANT_IDS to serve others, and name your pages' origins in CORS_ORIGINS."
)
logger = logging.getLogger(__name__)


class Identity:
    """Checks credentials against what is configured; with nothing configured, only this machine's user may call."""

    def __init__(self, settings: Settings, tokens: EntraTokens | None) -> None:
        self._keys = ApiKeys(settings.api_keys)
        self._tokens = tokens
        self._open_to_this_machine = not settings.auth_configured

    async def authenticate(self, credentials: Credentials) -> Caller:
        """Return the caller.

        :raises Unauthenticated: if the credentials are missing or not valid; its ``reason`` is for logs only.
        :raises InvalidRequest: if ``X-User-Id`` cannot be used.
        :raises Forbidden: if a token lacks the permission that is required of all.
        :raises IdentityUnavailable: if a token cannot be checked right now.
        """
        if self._open_to_this_machine:
            if not credentials.from_this_machine:
                raise Unauthenticated("no identity is configured and the caller is not this machine", NO_IDENTITY)
            return Caller(LOCAL_OWNER, frozenset(("chat", "admin")))
        if credentials.api_key is not None:
            key = self._keys.find(credentials.api_key)
            user = credentials.user_id if credentials.user_id is not None else key.name
            return Caller(Owner(key.tenant, _checked_user(user)), frozenset(key.scopes))
        scheme, _, token = (credentials.authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("no credentials")
        if self._tokens is None:
            raise Unauthenticated("a token, but Entra ID is not configured")
        return await self._tokens.verify(token.strip())


@asynccontextmanager
async def open_identity(settings: Settings) -> AsyncIterator[Identity]:
    """Open what checking credentials needs; its connections are closed afterwards."""
    async with AsyncExitStack() as stack:
        tokens = None
        if settings.entra_tenant_ids:
            tokens = await stack.enter_async_context(await asyncio.to_thread(_load_entra_tokens, settings))
        yield Identity(settings, tokens)


def _load_entra_tokens(settings: Settings) -> AbstractAsyncContextManager[EntraTokens]:
    from identity.entra import open_entra_tokens

    return open_entra_tokens(settings)


def _checked_user(user: str) -> str:
    if not 1 <= len(user) <= MAX_USER_LENGTH or not (user.isascii() and user.isprintable()):
        raise InvalidRequest([("header.X-User-Id", f"must be 1 to {MAX_USER_LENGTH} visible ASCII characters")])
    return user
