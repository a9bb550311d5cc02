"""The process's own identity: one chain, one token for each service."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessTokenInfo
from azure.core.credentials_async import AsyncSupportsTokenInfo, AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError

from identity.azure_credential import AzureCredential
from services.services import open_services
from settings import Settings
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_identity import FakeIdentity, self_signed
from tests.fakes.model import FakeModel
from tests.support.assistant_folder import HARBOUR
from tests.support.stores import CosmosBackend


class Chain:
    """Stands in for ``DefaultAzureCredential``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.options: list[Any] = []
        self.lives = 3600
        self.fails = False
        self.held: dict[str, asyncio.Event] = {}
        self.reached = asyncio.Event()
        self.made = 0

    def make(self) -> Chain:
        self.made += 1
        return self

    async def get_token_info(self, scope: str, *, options: Any = None) -> AccessTokenInfo:
        if held := self.held.get(scope):
            self.reached.set()
            await held.wait()
        self.asked.append(scope)
        self.options.append(options)
        if self.fails:
            raise ClientAuthenticationError("nobody is signed in")
        return AccessTokenInfo(f"token {len(self.asked)}", int(time.time()) + self.lives)

    async def close(self) -> None:
        self.asked.append("closed")


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    chain = Chain()
    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", chain.make)
    return chain


async def test_a_token_is_kept_for_each_service(chain: Chain) -> None:
    async with AzureCredential() as credential:
        assert isinstance(credential, AsyncTokenCredential)
        assert isinstance(credential, AsyncSupportsTokenInfo)
        tokens = await asyncio.gather(*(credential.get_token("a") for _ in range(5)), credential.get_token("b"))
        assert [token.token for token in tokens] == ["token 1"] * 5 + ["token 2"]
    assert chain.asked == ["a", "b", "closed"]


async def test_a_service_does_not_wait_for_the_token_of_another(chain: Chain) -> None:
    chain.held["slow"] = asyncio.Event()
    async with AzureCredential() as credential:
        slow = asyncio.create_task(credential.get_token_info("slow"))
        await chain.reached.wait()
        async with asyncio.timeout(10):
            quick = await credential.get_token_info("quick")
        assert quick.token == "token 1"
        chain.held["slow"].set()
        assert (await slow).token == "token 2"
    assert chain.made == 1


async def test_a_token_that_soon_expires_is_renewed(chain: Chain) -> None:
    chain.lives = 299
    credential = AzureCredential()
    assert (await credential.get_token_info("a")).token == "token 1"
    assert (await credential.get_token_info("a")).token == "token 2"


async def test_a_token_that_cannot_be_renewed_is_used_until_it_expires(chain: Chain) -> None:
    chain.lives = 299
    credential = AzureCredential()
    await credential.get_token_info("a")
    chain.fails = True
    assert (await credential.get_token_info("a")).token == "token 1"
    with pytest.raises(ClientAuthenticationError):
        await credential.get_token_info("b")


async def test_a_token_that_a_service_refused_is_asked_for_anew(chain: Chain) -> None:
    credential = AzureCredential()
    await credential.get_token("a")
    assert (await credential.get_token("a", claims="why", enable_cae=False)).token == "token 2"
    assert chain.options[-1] == {"claims": "why"}


async def test_nothing_is_opened_that_nobody_asks_for(chain: Chain) -> None:
    async with AzureCredential():
        pass
    assert chain.asked == []


async def test_a_process_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeIdentity] = []

    def make() -> FakeIdentity:
        made.append(FakeIdentity())
        return made[-1]

    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", make)
    async with FakeCosmos(tls=self_signed(tmp_path)) as cosmos, FakeModel() as model:
        async with CosmosBackend(cosmos.endpoint, KEY, "chat", cosmos).new():
            pass
        settings = Settings(
            cosmos_endpoint=cosmos.endpoint, cosmos_database="chat", azure_openai_endpoint=model.url, azure_openai_model="m"
        )
        async with open_services(settings, HARBOUR) as services:
            assert "model" in services.readiness.parts
            await services.readiness.failures()
    [identity] = made
    assert identity.closed
    assert len(set(identity.scopes)) == 2
