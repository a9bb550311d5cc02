"""The process's own identity on Azure: one for every service that it calls."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
    from azure.identity.aio import DefaultAzureCredential

# A token that lives no longer than this is renewed before it is handed out, as the SDK's own policies do.
RENEW_BEFORE_SECONDS = 300


class AzureCredential:
    """A managed identity, or whoever is signed in on this machine, as the SDK's clients take it.

    Opened with the first token that is asked for, which takes half a second of imports; nothing happens where keys are used.
    Keeps one token for each service: some members of the chain ask anew each time.
    """

    def __init__(self) -> None:
        self._chain: DefaultAzureCredential | None = None
        self._opening = asyncio.Lock()
        self._tokens: dict[tuple[str, ...], AccessTokenInfo] = {}
        # One for each service: at the start of the process several are called at once, and none is to wait for another's token.
        self._renewing: defaultdict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close it, if it has been opened."""
        if self._chain:
            await self._chain.close()

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token for a service: the SDK's protocol ``AsyncTokenCredential``.

        :raises azure.core.exceptions.ClientAuthenticationError: if the identity gets none.
        """
        from azure.core.credentials import AccessToken

        known: TokenRequestOptions = {key: value for key, value in options.items() if value}  # type: ignore[assignment]
        token = await self.get_token_info(*scopes, options=known)
        return AccessToken(token.token, token.expires_on)

    async def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token and when it expires: the SDK's protocol ``AsyncSupportsTokenInfo``.

        :raises azure.core.exceptions.ClientAuthenticationError: if the identity gets none.
        """
        if options and options.get("claims"):
            # A service has refused the token that is kept.
            self._tokens.pop(scopes, None)
        async with self._renewing[scopes]:
            held = self._tokens.get(scopes)
            if held is None or time.time() >= (held.refresh_on or held.expires_on - RENEW_BEFORE_SECONDS):
                held = self._tokens[scopes] = await self._renew(held, scopes, options)
            return held

    async def _renew(
        self, held: AccessTokenInfo | None, scopes: tuple[str, ...], options: TokenRequestOptions | None
    ) -> AccessTokenInfo:
        from azure.core.exceptions import ClientAuthenticationError

        chain = await self._opened()
        try:
            return await chain.get_token_info(*scopes, options=options)
        except ClientAuthenticationError:
            if held is None or time.time() >= held.expires_on:
                raise
            return held

    async def _opened(self) -> DefaultAzureCredential:
        async with self._opening:
            if self._chain is None:
                self._chain = await asyncio.to_thread(_open_chain)
            return self._chain


def _open_chain() -> DefaultAzureCredential:
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential()
