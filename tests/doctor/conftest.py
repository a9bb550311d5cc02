"""What the doctor is tried on: services that work, and a credential of each kind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from azure.core.credentials import AccessTokenInfo

from cosmos_store import CosmosStore
from doctor.__main__ import diagnose
from doctor.findings import Deadlines, Finding
from settings import Settings
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_identity import FakeIdentity
from tests.fakes.model import Call, FakeModel, Reply

ROOT = Path(__file__).parents[2]
DATABASE = "chat_db"
PRINCIPAL = "11111111-2222-3333-4444-555555555555"


class NoCredential(FakeIdentity):
    """A credential of the chain that is not there."""

    async def get_token_info(self, *scopes: str, **_: Any) -> AccessTokenInfo:
        raise ConnectionError("secret details")


class Someone(FakeIdentity):
    """A credential of the chain that works."""

    async def get_token_info(self, *scopes: str, **options: Any) -> AccessTokenInfo:
        expires = (await super().get_token_info(*scopes, **options)).expires_on
        return AccessTokenInfo(jwt.encode({"oid": PRINCIPAL}, "a key that nobody knows, of 32 bytes"), expires)


class Chain(Someone):
    """Stands in for ``DefaultAzureCredential``, which tries one after the other."""

    def __init__(self, *credentials: FakeIdentity) -> None:
        super().__init__()
        self.credentials = credentials


@pytest.fixture
async def cosmos() -> AsyncIterator[FakeCosmos]:
    async with FakeCosmos() as fake:
        async with CosmosStore(fake.endpoint, database=DATABASE, credential=KEY):
            pass
        yield fake


@pytest.fixture
def settings(cosmos: FakeCosmos) -> Settings:
    return Settings(cosmos_endpoint=cosmos.endpoint, cosmos_key=KEY, cosmos_database=DATABASE)


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel(Reply(calls=(Call("report_health", '{"status": "ok"}'),))) as fake:
        yield fake


@pytest.fixture
def with_model(model: FakeModel) -> Settings:
    return Settings(
        azure_openai_endpoint=model.url, azure_openai_api_key="secret-key", azure_openai_model="gpt", cosmos_key=KEY
    )


async def problems(settings: Settings, deadlines: Deadlines = Deadlines()) -> list[Finding]:  # noqa: B008 - immutable
    """Return what the doctor finds wrong; whatever it says is a command that a shell can read, and no secret."""
    findings = await diagnose(settings, deadlines)
    for finding in findings:
        assert not re.search(r"secret|hunter2", str(finding))
        assert KEY not in str(finding)
        if finding.fix:
            shell = await asyncio.create_subprocess_exec("bash", "-n", "-c", finding.fix)
            assert await shell.wait() == 0
    return [finding for finding in findings if finding.fix]


async def only_problem(settings: Settings, deadlines: Deadlines = Deadlines()) -> Finding:  # noqa: B008 - immutable
    (problem,) = await problems(settings, deadlines)
    return problem
