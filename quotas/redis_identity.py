"""Signing in to Azure Managed Redis with the app's identity: the user is its object id, the password a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
from redis.credentials import CredentialProvider

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

SCOPE = "https://redis.azure.com/.default"


class EntraCredentials(CredentialProvider):
    """What redis-py asks for each new connection.

    Redis closes a connection when its token expires; the client connects again, with a token that the credential has renewed.
    """

    def __init__(self, credential: AsyncTokenCredential) -> None:
        self._credential = credential

    async def get_credentials_async(self) -> tuple[str, str]:
        """Return user and password.

        :raises azure.core.exceptions.ClientAuthenticationError: if the identity gets no token.
        """
        token = (await self._credential.get_token(SCOPE)).token
        # Redis checks the token; here it only tells whose it is.
        claims = jwt.decode(token, options={"verify_signature": False})
        return str(claims["oid"]), token
