"""Entra ID, as far as tokens go: publishes keys on a real socket and signs tokens with them.

Written from https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.types import Receive, Scope, Send

from tests.support.server import serve

TENANT = "8a1c8b5e-0000-4000-8000-000000000001"
OTHER_TENANT = "8a1c8b5e-0000-4000-8000-000000000002"
AUDIENCE = "api://chat"
USER = "00000000-aaaa-4000-8000-000000000001"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


KEY, ROTATED_KEY, STRANGE_KEY = new_key(), new_key(), new_key()


class FakeEntra:
    """The authority; ``keys`` are those that it publishes."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, rsa.RSAPrivateKey] = {"k1": KEY}
        self.requests: list[str] = []
        self.status = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.requests.append(scope["path"])
        published = [{**self._public(key), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]
        body = json.dumps({"keys": published}).encode()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def token(self, *, key: Any = KEY, kid: str | None = "k1", algorithm: str = "RS256", **claims: Any) -> str:
        """Sign a v2.0 token of the tenant's user; ``claims`` change it, and ``None`` takes a claim out."""
        now = int(time.time())
        all_claims = {
            "aud": AUDIENCE,
            "iss": f"{self.url}/{claims.get('tid', TENANT)}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "tid": TENANT,
            "oid": USER,
            "sub": "a pseudonym of the user for this application",
            "scp": "chat.access",
            "ver": "2.0",
            **claims,
        }
        present = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(present, key, algorithm=algorithm, headers={"kid": kid} if kid else {})

    @staticmethod
    def _public(key: rsa.RSAPrivateKey) -> dict[str, Any]:
        stream_content: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return stream_content


@asynccontextmanager
async def fake_entra() -> AsyncIterator[FakeEntra]:
    fake = FakeEntra()
    async with serve(fake) as fake.url:
        yield fake
