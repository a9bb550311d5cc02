"""What a managed identity needs around it: TLS, since it sends no token in the clear, and somebody who gives tokens."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import time
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from azure.core.credentials import AccessTokenInfo
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class FakeIdentity:
    """Stands in for ``DefaultAzureCredential``."""

    def __init__(self) -> None:
        self.closed = False
        self.scopes: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.closed = True

    async def get_token_info(self, *scopes: str, **_: Any) -> AccessTokenInfo:
        self.scopes += scopes
        return AccessTokenInfo("token", int(time.time()) + 3600)


class FakeIdentityEndpoint:
    """Gives tokens to an app with a managed identity, as App Service and Functions do; ``environment`` says where.

    Written from https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference.
    """

    SECRET = "header"

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self.resources: list[str] = []
        self._asked = asyncio.Condition()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/msi/token", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{self._runner.addresses[0][1]}/msi/token"
        self.environment = {"IDENTITY_ENDPOINT": address, "IDENTITY_HEADER": self.SECRET}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def has_asked_for(self, resource: str) -> None:
        """Wait until a token for a service has been asked for."""
        async with self._asked:
            await self._asked.wait_for(lambda: resource in self.resources)

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("X-IDENTITY-HEADER") != self.SECRET or request.query.get("api-version") != "2019-08-01":
            return web.json_response({"statusCode": 400, "message": "not as documented"}, status=400)
        async with self._asked:
            self.resources.append(resource := request.query["resource"])
            self._asked.notify_all()
        expires = str(int(time.time()) + 24 * 3600)
        return web.json_response({"access_token": "token", "expires_on": expires, "resource": resource, "token_type": "Bearer"})


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate for this machine that was made just now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
