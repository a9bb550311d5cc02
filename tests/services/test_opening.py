"""What is opened at the start of the process, and beside what."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent.llm.connection import AZURE_SCOPE
from services.services import open_services
from settings import Settings
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_identity import FakeIdentityEndpoint, self_signed
from tests.fakes.model import FakeModel
from tests.support.assistant_folder import HARBOUR
from tests.support.stores import CosmosBackend

DATABASE = "chat"


async def test_agent_and_store_are_opened_at_once_with_their_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeCosmos(tls=self_signed(tmp_path)) as cosmos, FakeIdentityEndpoint() as identity, FakeModel() as model:
        async with CosmosBackend(cosmos.endpoint, KEY, DATABASE, cosmos).new():
            pass
        for name, value in identity.environment.items():
            monkeypatch.setenv(name, value)
        settings = Settings(
            cosmos_endpoint=cosmos.endpoint, cosmos_database=DATABASE, azure_openai_endpoint=model.url, azure_openai_model="m"
        )
        account = cosmos.fail("account", hold=True)
        async with AsyncExitStack() as stack:
            opening = asyncio.create_task(stack.enter_async_context(open_services(settings, HARBOUR)))
            async with asyncio.timeout(30):
                await account.reached.wait()
                await identity.has_asked_for(AZURE_SCOPE.removesuffix("/.default"))
            assert not opening.done()
            account.released.set()
            services = await opening
            assert await services.tools()
            asked = list(identity.resources)
            assert await services.readiness.failures() == []
        assert len(asked) == 2
        assert identity.resources == asked
