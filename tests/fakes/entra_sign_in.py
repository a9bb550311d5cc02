"""Entra ID's sign-in for single-page apps over TLS: authorization code with PKCE, refresh tokens, sign-out.

Written from https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow and, for what single-page apps may do,
https://learn.microsoft.com/entra/identity-platform/refresh-tokens. The user agrees to everything at once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes.entra import KEY, TENANT, USER, FakeEntra
from tests.support.server import serve

CLIENT = "33333333-3333-4333-8333-333333333333"
SCOPE = f"api://{CLIENT}/access_as_user"
FOR_THE_CLIENT = {"openid", "profile", "offline_access"}


@dataclass
class FakeSignIn:
    """The authority; ``redirect_uris`` are those of the registration, ``claims`` change the access tokens to come."""

    entra: FakeEntra = field(default_factory=FakeEntra)
    redirect_uris: set[str] = field(default_factory=set)
    claims: list[dict[str, Any]] = field(default_factory=list)
    refuses: str | None = None
    prompts: list[str | None] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> Starlette:
        base = "/{tenant}"
        return Starlette(
            routes=[
                Route(f"{base}/v2.0/.well-known/openid-configuration", self.metadata),
                Route(f"{base}/discovery/v2.0/keys", self.keys),
                Route(f"{base}/oauth2/v2.0/authorize", self.authorize),
                Route(f"{base}/oauth2/v2.0/token", self.token, methods=["POST"]),
                Route(f"{base}/oauth2/v2.0/logout", self.logout),
            ]
        )

    async def metadata(self, request: Request) -> Response:
        authority = f"{self.entra.url}/{request.path_params['tenant']}"
        found = {
            "issuer": f"{authority}/v2.0",
            "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
            "token_endpoint": f"{authority}/oauth2/v2.0/token",
            "end_session_endpoint": f"{authority}/oauth2/v2.0/logout",
            "jwks_uri": f"{authority}/discovery/v2.0/keys",
        }
        return JSONResponse(found, headers={"Access-Control-Allow-Origin": "*"})

    async def keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [{**self.entra._public(KEY), "kid": "k1", "use": "sig"}]})

    async def authorize(self, request: Request) -> Response:
        given = dict(request.query_params)
        self.prompts.append(given.get("prompt"))
        if given.get("client_id") != CLIENT or given.get("redirect_uri") not in self.redirect_uris:
            return PlainTextResponse("AADSTS50011: the redirect URI does not match", status_code=400)
        required = {"response_type": "code", "response_mode": "fragment", "code_challenge_method": "S256"}
        wrong = [name for name, value in required.items() if given.get(name) != value]
        if wrong or not {*FOR_THE_CLIENT, SCOPE} <= set(given["scope"].split()) or len(given["code_challenge"]) != 43:
            return PlainTextResponse(f"AADSTS900144: {wrong or given['scope']}", status_code=400)
        if self.refuses:
            answer = {"error": "access_denied", "error_description": self.refuses, "state": given["state"]}
        else:
            code = secrets.token_urlsafe()
            self.codes[code] = given
            answer = {"code": code, "client_info": self._client_info(), "state": given["state"]}
        return RedirectResponse(f"{given['redirect_uri']}#{urlencode(answer)}", status_code=302)

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        origin = request.headers.get("origin", "")
        allowed = {"Access-Control-Allow-Origin": origin}
        self.grants.append(form["grant_type"])
        if origin not in {"{0.scheme}://{0.netloc}".format(urlsplit(uri)) for uri in self.redirect_uris}:
            return JSONResponse({"error": "invalid_request", "error_description": "AADSTS9002327"}, status_code=400)
        if form["grant_type"] == "authorization_code":
            asked = self.codes.pop(form["code"], None)
            challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
            good = asked and challenge == asked["code_challenge"] and form["redirect_uri"] == asked["redirect_uri"]
            nonce = asked["nonce"] if asked else ""
        else:
            nonce = self.refresh_tokens.pop(form["refresh_token"], "")
            good = bool(nonce)
        if not good or form["client_id"] != CLIENT:
            error = {"error": "invalid_grant", "error_description": "AADSTS70008: expired or used", "suberror": "bad_token"}
            return JSONResponse(error, status_code=400, headers=allowed)
        refresh = secrets.token_urlsafe()
        self.refresh_tokens[refresh] = nonce
        claims = self.claims.pop(0) if self.claims else {}
        user = {"preferred_username": "ann@example.com", "name": "Ann", "sub": USER, "nonce": nonce}
        answer = {
            "token_type": "Bearer",
            "scope": SCOPE,
            "expires_in": 3600,
            "access_token": self.entra.token(**{"aud": CLIENT, "scp": "access_as_user", **claims}),
            "refresh_token": refresh,
            "refresh_token_expires_in": 86400,
            "id_token": self.entra.token(aud=CLIENT, scp=None, **user),
            "client_info": self._client_info(),
        }
        return JSONResponse(answer, headers=allowed)

    async def logout(self, request: Request) -> Response:
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], status_code=302)

    @staticmethod
    def _client_info() -> str:
        return base64.urlsafe_b64encode(json.dumps({"uid": USER, "utid": TENANT}).encode()).rstrip(b"=").decode()


def write_certificate(path: Path) -> None:
    """Write a certificate for this machine, which has signed itself, with its key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(int(time.time()))
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(KEY, hashes.SHA256())
    )
    key = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path.write_bytes(key + certificate.public_bytes(serialization.Encoding.PEM))


@asynccontextmanager
async def fake_sign_in(certificate: Path) -> AsyncIterator[FakeSignIn]:
    """Serve the authority with a certificate that :func:`write_certificate` wrote."""
    fake = FakeSignIn()
    async with serve(fake.app, certificate) as fake.entra.url:
        yield fake
