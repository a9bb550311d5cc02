"""Bot Service, as far as tokens go: publishes OpenID metadata and keys on a real socket and signs tokens with them.

Written from https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from starlette.types import Receive, Scope, Send

from teams.tokens import ISSUER
from tests.fakes.activities import APP_ID
from tests.fakes.entra import KEY
from tests.support.server import serve


class FakeBotService:
    """The issuer. ``status`` is what requests are answered with, ``endorsements`` the channels that its key may speak for."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.endorsements: list[str] | None = None
        self.requests: list[str] = []

    @property
    def metadata(self) -> str:
        return f"{self.url}/v1/.well-known/openidconfiguration"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.requests.append(scope["path"])
        published = {**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "use": "sig"}
        if self.endorsements is not None:
            published["endorsements"] = self.endorsements
        document: dict[str, Any] = {"keys": [published]}
        if scope["path"].endswith("openidconfiguration"):
            document = {"issuer": ISSUER, "jwks_uri": f"{self.url}/v1/.well-known/keys"}
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    def token(
        self, service_url: str, *, key: Any = KEY, kid: str | None = "k1", algorithm: str = "RS256", **claims: Any
    ) -> str:
        """Sign a token for an activity; ``claims`` change it, and ``None`` takes a claim out."""
        now = int(time.time())
        all_claims = {
            "aud": APP_ID,
            "iss": ISSUER,
            "nbf": now,
            "exp": now + 3600,
            "serviceurl": service_url,
            **claims,
        }
        present = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(present, key, algorithm=algorithm, headers={"kid": kid} if kid else {})


@asynccontextmanager
async def fake_bot_service() -> AsyncIterator[FakeBotService]:
    fake = FakeBotService()
    async with serve(fake) as fake.url:
        yield fake
