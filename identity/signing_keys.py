"""The keys with which an issuer signs its tokens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import httpx2
import jwt

from errors import IdentityUnavailable, Unauthenticated

FETCH_SECONDS = 5.0
# Keys are asked for again after a day, and in between for a key id that is not known, but not more often than this.
MAX_AGE_SECONDS = 24 * 3600.0
FETCH_FLOOR_SECONDS = 60.0
FAILURE_FLOOR_SECONDS = 2.0
logger = logging.getLogger(__name__)


class SigningKeys:
    """The keys that an issuer publishes: fetched when first needed, cached, and fetched once by all who wait for them.

    ``url`` is where the keys are, or (``is_metadata``) the OpenID metadata that says where; ``clock`` counts seconds.
    """

    def __init__(
        self, http: httpx2.AsyncClient, url: str, *, is_metadata: bool = False, clock: Callable[[], float] = monotonic
    ) -> None:
        self._clock = clock
        self._http = http
        self._url = url
        self._is_metadata = is_metadata
        self._keys: dict[str, jwt.PyJWK] = {}
        self._endorsements: dict[str, list[str]] = {}
        self._fetched_at = float("-inf")
        self._next_fetch_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> jwt.PyJWK:
        """Return the key with an id.

        :raises Unauthenticated: if the issuer publishes no such key.
        :raises IdentityUnavailable: if the keys cannot be fetched and none are cached.
        """
        key = self._keys.get(kid)
        if key and self._clock() - self._fetched_at < MAX_AGE_SECONDS:
            return key
        async with self._lock:
            if self._clock() >= self._next_fetch_at:
                await self._fetch()
        if not self._keys:
            raise IdentityUnavailable
        key = self._keys.get(kid)
        if key is None:
            raise Unauthenticated("the token is signed with an unknown key")
        return key

    def endorsements(self, kid: str) -> list[str] | None:
        """Return what a key that was got is endorsed for (Bot Service names channels); ``None`` if its issuer says nothing."""
        return self._endorsements.get(kid)

    async def _fetch(self) -> None:
        self._next_fetch_at = self._clock() + FETCH_FLOOR_SECONDS
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                url = (await self._get(self._url))["jwks_uri"] if self._is_metadata else self._url
                document = await self._get(url)
                published = jwt.PyJWKSet.from_dict(document)
                endorsements = _read_endorsements(document)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, LookupError, TypeError, ValueError, jwt.PyJWTError) as error:
            logger.warning("signing keys at %s cannot be fetched: %s", self._url, type(error).__name__)
            self._next_fetch_at = self._clock() + FAILURE_FLOOR_SECONDS
            return
        self._keys = {key.key_id: key for key in published.keys if key.key_id and key.key_type == "RSA"}
        self._endorsements = endorsements
        self._fetched_at = self._clock()

    async def _get(self, url: str) -> Any:
        response = await self._http.get(url)
        response.raise_for_status()
        return response.json()


def _read_endorsements(document: Any) -> dict[str, list[str]]:
    keys = [key for key in document["keys"] if isinstance(key.get("endorsements"), list)]
    return {key["kid"]: [str(each) for each in key["endorsements"]] for key in keys if isinstance(key.get("kid"), str)}
