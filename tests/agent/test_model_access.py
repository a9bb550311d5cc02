"""How the agent reaches its model: by the settings alone, and on Azure with a key or with the identity's token."""

from __future__ import annotations

import json

import pytest

from agent.agent import open_agent
from identity.azure_credential import AzureCredential
from settings import Settings
from tests.fakes.cosmos_identity import FakeIdentity
from tests.fakes.model import FakeModel, Reply
from tests.support.agent import calculate, run
from tests.support.assistant_folder import HARBOUR


async def test_the_environment_is_not_read_behind_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_MODEL", "AZURE_OPENAI_API_KEY"):
        monkeypatch.setenv(name, "from-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "http://127.0.0.1:9")
    async with FakeModel(Reply(text="Hello")) as model:
        settings = Settings.model_construct(
            **{name: field.default for name, field in Settings.model_fields.items()}
            | {"openai_base_url": f"{model.url}/v1", "openai_model": "gpt-x"}
        )
        async with open_agent(settings, HARBOUR, (calculate,), AzureCredential()) as agent:
            await run(agent)
        assert "from-environment" not in json.dumps([model.requests, model.headers])


async def test_azure_is_called_under_its_v1_path_with_the_key() -> None:
    async with FakeModel(Reply(text="Hello")) as model:
        settings = Settings(
            azure_openai_endpoint=model.url, azure_openai_model="my-deployment", azure_openai_api_key="azure-key"
        )
        async with open_agent(settings, HARBOUR, (calculate,), AzureCredential()) as agent:
            recorder, _ = await run(agent)
        assert recorder.content == "Hello"
        assert model.paths == ["/openai/v1/chat/completions"]
        assert model.requests[0]["model"] == "my-deployment"
        assert model.headers[0]["authorization"] == "Bearer azure-key"


async def test_azure_without_a_key_uses_the_identitys_token(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = FakeIdentity()
    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", lambda: identity)
    async with FakeModel(Reply(text="Hello")) as model:
        settings = Settings(azure_openai_endpoint=model.url, azure_openai_model="my-deployment")
        async with AzureCredential() as credential, open_agent(settings, HARBOUR, (calculate,), credential) as agent:
            await run(agent)
        assert model.headers[0]["authorization"] == "Bearer token"
        assert identity.scopes == ["https://cognitiveservices.azure.com/.default"]
        assert identity.closed
