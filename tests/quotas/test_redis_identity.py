"""Signing in to Redis with the app's identity, on a real Redis with TLS that knows the user by its token only."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import azure.identity.aio
import jwt
import pytest
from azure.core.credentials import AccessTokenInfo
from typing_extensions import override

from identity.azure_credential import AzureCredential
from models import Owner
from quotas.backend import open_quota_backend
from quotas.quotas import Quotas, RequestLimitExceeded
from quotas.redis_identity import SCOPE
from settings import Settings
from tests.fakes.cosmos_identity import FakeIdentity, self_signed
from tests.fakes.redis import RedisServer, needs_redis

OBJECT_ID = "5f0c1d1e-0000-4000-8000-000000000001"
TOKEN = jwt.encode({"oid": OBJECT_ID}, "not checked here, but long enough for the library")
ANN = Owner("acme", "ann")


class Identity(FakeIdentity):
    """Its tokens expire so soon that none is kept."""

    @override
    async def get_token_info(self, *scopes: str, **_: Any) -> AccessTokenInfo:
        self.scopes += scopes
        return AccessTokenInfo(TOKEN, int(time.time()) + 60)


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Identity:
    identity = Identity()
    monkeypatch.setattr(azure.identity.aio, "DefaultAzureCredential", lambda: identity)
    return identity


def settings(redis_url: str | None, *, on_azure: bool = True) -> Settings:
    # Not validated as a whole: the other rules for Azure are not the matter here.
    values = Settings.model_validate({"redis_url": redis_url, "limit_requests_per_minute": 2})
    return values.model_copy(update={"website_site_name": "chat" if on_azure else None})


@pytest.mark.parametrize(
    ("url", "on_azure", "expected"),
    [
        ("rediss://chat.redis.azure.net:10000", True, True),
        ("rediss://:secret@chat.redis.azure.net:10000", True, False),
        ("redis://cache:6379", True, False),
        ("rediss://chat.redis.azure.net:10000", False, False),
        (None, True, False),
    ],
)
def test_when_the_identity_is_used(url: str | None, on_azure: bool, expected: bool) -> None:
    assert settings(url, on_azure=on_azure).redis_takes_identity is expected


@needs_redis
async def test_counts_are_shared_by_instances_that_sign_in_with_a_token(
    tmp_path: Path, identity: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    async with RedisServer(tmp_path, *_one_user(tmp_path), tls=True) as redis:
        url = f"{redis.url}?ssl_ca_certs={tmp_path}/server.pem"
        for _ in range(2):
            async with open_quota_backend(settings(url), AzureCredential()) as backend:
                await Quotas(settings(url), backend).count_request(ANN)
        async with open_quota_backend(settings(url), AzureCredential()) as backend:
            with pytest.raises(RequestLimitExceeded):
                await Quotas(settings(url), backend).count_request(ANN)
    assert set(identity.scopes) == {SCOPE}
    assert not caplog.records


@needs_redis
async def test_a_connection_that_redis_closes_is_opened_again_with_a_new_token(
    tmp_path: Path, identity: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    async with RedisServer(tmp_path, *_one_user(tmp_path), tls=True) as redis:
        url = f"{redis.url}?ssl_ca_certs={tmp_path}/server.pem"
        async with open_quota_backend(settings(url), AzureCredential()) as backend:
            quotas = Quotas(settings(url), backend)
            await quotas.count_request(ANN)
            asked = len(identity.scopes)
            await _close_all_connections(url)
            [window] = await quotas.count_request(ANN)
    assert window.remaining == 0
    assert len(identity.scopes) > asked
    assert not caplog.records


@needs_redis
async def test_an_identity_without_access_leaves_each_process_its_own_counts(
    tmp_path: Path, identity: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    async with RedisServer(tmp_path, *_one_user(tmp_path, "somebody-else"), tls=True) as redis:
        url = f"{redis.url}?ssl_ca_certs={tmp_path}/server.pem"
        async with open_quota_backend(settings(url), AzureCredential()) as backend:
            [window] = await Quotas(settings(url), backend).count_request(ANN)
    assert window.remaining == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert TOKEN not in caplog.text


def _one_user(folder: Path, user: str = OBJECT_ID) -> tuple[str, ...]:
    self_signed(folder)
    pem = str(folder / "server.pem")
    certificate = ("--tls-cert-file", pem, "--tls-key-file", pem, "--tls-ca-cert-file", pem, "--tls-auth-clients", "no")
    users = folder / "users.acl"
    users.write_text(f"user default off\nuser {user} on >{TOKEN} ~* &* +@all\n")
    return (*certificate, "--aclfile", str(users))


async def _close_all_connections(url: str) -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(url, username=OBJECT_ID, password=TOKEN) as redis:
        await redis.client_kill_filter(_type="normal", skipme=True)
