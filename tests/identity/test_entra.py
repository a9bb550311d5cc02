"""Entra ID tokens, checked with keys that a fake authority publishes on a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from errors import Forbidden, IdentityUnavailable, Unauthenticated
from identity import signing_keys
from identity.entra import EntraTokens, open_entra_tokens
from models import Owner
from settings import Settings
from tests.fakes.entra import AUDIENCE, OTHER_TENANT, ROTATED_KEY, STRANGE_KEY, TENANT, USER, FakeEntra, fake_entra


@pytest.fixture
async def authority() -> AsyncIterator[FakeEntra]:
    async with fake_entra() as fake:
        yield fake


def settings_for(authority: FakeEntra, **more: Any) -> Settings:
    return Settings(entra_tenant_ids=(TENANT,), entra_audience=AUDIENCE, entra_authority=authority.url, **more)


class Clock:
    """Seconds, which pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def tokens(authority: FakeEntra, clock: Clock) -> AsyncIterator[EntraTokens]:
    async with open_entra_tokens(settings_for(authority), clock) as tokens:
        yield tokens


async def test_a_token_is_its_tenants_user(authority: FakeEntra, tokens: EntraTokens) -> None:
    caller = await tokens.verify(authority.token())
    assert (caller.owner, set(caller.scopes)) == (Owner(TENANT, USER), {"chat"})


async def test_a_v1_token_is_good_too(authority: FakeEntra, tokens: EntraTokens) -> None:
    token = authority.token(iss=f"https://sts.windows.net/{TENANT}/", ver="1.0")
    assert (await tokens.verify(token)).owner == Owner(TENANT, USER)


async def test_an_admin_has_the_role(authority: FakeEntra, tokens: EntraTokens) -> None:
    assert (await tokens.verify(authority.token(roles=["admin"]))).scopes == {"chat", "admin"}
    assert (await tokens.verify(authority.token(roles=["admin"], scp=None, idtyp="app"))).scopes == {"chat", "admin"}
    assert (await tokens.verify(authority.token(roles="admin"))).scopes == {"chat"}


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "api://other"},
        {"aud": None},
        {"iss": "https://evil.example/v2.0"},
        {"iss": f"https://sts.windows.net/{OTHER_TENANT}/"},
        {"iss": None},
        {"tid": OTHER_TENANT},
        {"tid": None},
        {"tid": ["x"]},
        {"tid": f"{TENANT}/../{TENANT}"},
        {"exp": NOW - 120},
        {"exp": None},
        {"nbf": NOW + 3600},
        {"nbf": None},
        {"oid": None},
        {"oid": ""},
        {"oid": 7},
        {"scp": None},
        {"scp": " "},
        {"scp": ["chat.access"]},
        # What an ID token looks like: a user's roles, and no scope.
        {"scp": None, "roles": ["admin"], "nonce": "x"},
        # Any application of the tenant can get these.
        {"scp": None, "idtyp": "app"},
        {"scp": None, "idtyp": "app", "roles": []},
        {"scp": None, "sub": USER},
        {"key": STRANGE_KEY},
        {"kid": "unknown"},
        {"kid": None},
        {"algorithm": "RS512"},
        {"key": "x" * 64, "algorithm": "HS256"},
        {"key": None, "algorithm": "none"},
    ],
)
async def test_what_is_wrong_with_a_token(authority: FakeEntra, tokens: EntraTokens, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        await tokens.verify(authority.token(**claims))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a.b.c.d", "eyJ.eyJ.x", "ü.ü.ü", "." * 5000])
async def test_what_is_no_token(tokens: EntraTokens, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await tokens.verify(token)


async def test_a_token_whose_time_is_over_was_valid(authority: FakeEntra, tokens: EntraTokens) -> None:
    for claims, was_valid in (
        ({"exp": int(time.time()) - 3600}, True),
        ({"exp": 1, "key": "x" * 64, "algorithm": "HS256"}, False),
    ):
        with pytest.raises(Unauthenticated) as refused:
            await tokens.verify(authority.token(**claims))
        assert refused.value.was_valid == was_valid


async def test_clocks_may_differ_a_little(authority: FakeEntra, tokens: EntraTokens) -> None:
    now = int(time.time())
    await tokens.verify(authority.token(exp=now - 30))
    await tokens.verify(authority.token(nbf=now + 30))


@pytest.mark.parametrize("granted", [{"scp": "x chat.access"}, {"scp": None, "roles": ["chat.access"], "sub": USER}])
async def test_the_required_permission(authority: FakeEntra, granted: dict[str, Any]) -> None:
    async with open_entra_tokens(settings_for(authority, entra_required_permission="chat.access")) as tokens:
        await tokens.verify(authority.token(**granted))
        for lacking in ({"scp": "other"}, {"scp": "chat.access.not"}, {"scp": None, "roles": ["other"], "idtyp": "app"}):
            with pytest.raises(Forbidden) as refused:
                await tokens.verify(authority.token(**lacking))
            assert refused.value.scope == "chat.access"


async def test_keys_are_fetched_once(authority: FakeEntra, tokens: EntraTokens) -> None:
    await asyncio.gather(*(tokens.verify(authority.token()) for _ in range(20)))
    await tokens.verify(authority.token())
    assert authority.requests == [f"/{TENANT}/discovery/v2.0/keys"]


async def test_new_keys_are_found_but_not_asked_for_too_often(authority: FakeEntra, tokens: EntraTokens, clock: Clock) -> None:
    await tokens.verify(authority.token())
    authority.keys = {"k2": ROTATED_KEY}
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await tokens.verify(authority.token(key=ROTATED_KEY, kid="k2"))
    assert len(authority.requests) == 1
    clock.now += signing_keys.FETCH_FLOOR_SECONDS
    await tokens.verify(authority.token(key=ROTATED_KEY, kid="k2"))
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await tokens.verify(authority.token())
    assert len(authority.requests) == 2


async def test_an_authority_that_fails(authority: FakeEntra, tokens: EntraTokens, clock: Clock) -> None:
    authority.status = 503
    for _ in range(3):
        with pytest.raises(IdentityUnavailable):
            await tokens.verify(authority.token())
    assert len(authority.requests) == 1
    authority.status = 200
    clock.now += signing_keys.FAILURE_FLOOR_SECONDS
    await tokens.verify(authority.token())
    authority.status = 503
    clock.now += signing_keys.MAX_AGE_SECONDS
    await tokens.verify(authority.token())
    assert len(authority.requests) == 3
