"""The agent on a model that speaks the real protocol over a real socket."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent.agent import RunResult, open_agent
from identity.azure_credential import AzureCredential
from settings import Settings
from tests.fakes.cosmos_identity import FakeIdentity
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import agent_on, calculate, run

ONE_CALL = (Call("calculate", '{"expression": "85 * 0.15"}', "call_b"),)


@pytest.mark.parametrize("stream", [False, True])
async def test_text_comes_with_its_usage(stream: bool) -> None:
    async with FakeModel(Reply(text="Hello there you")) as model, agent_on(model) as agent:
        recorder, result = await run(agent, stream=stream)
        assert recorder.content == "Hello there you"
        assert len(recorder.events) == (3 if stream else 1)
        assert result == RunResult(model="gpt-x-2026", input_tokens=11, output_tokens=7)


async def test_the_request_is_what_the_protocol_asks_for() -> None:
    async with FakeModel(Reply(text="Hello")) as model, agent_on(model) as agent:
        await run(agent, "How are you?")
        [request] = model.requests
        assert model.paths == ["/v1/chat/completions"]
        assert model.headers[0]["content-type"] == "application/json"
        assert request["model"] == "gpt-x"
        assert request["messages"][0]["role"] == "system"
        assert request["messages"][1] == {"role": "user", "content": "How are you?"}
        function = request["tools"][0]["function"]
        assert (function["name"], function["description"]) == ("calculate", "Calculate.")
        assert function["parameters"]["properties"]["expression"]["description"] == "arithmetic"
        assert function["parameters"]["required"] == ["expression"]
        assert not request.get("stream")


async def test_the_model_streams_only_when_asked_to() -> None:
    async with FakeModel(Reply(text="Hello")) as model, agent_on(model) as agent:
        await run(agent, stream=True)
        assert model.requests[0]["stream"] is True
        assert model.requests[0]["stream_options"] == {"include_usage": True}


async def test_a_cancelled_run_aborts_the_models_request() -> None:
    forever = asyncio.Event()
    async with FakeModel(Reply(text="Hello", wait=lambda: _wait(forever))) as model, agent_on(model) as agent:
        running = asyncio.create_task(run(agent))
        while not model.requests:  # noqa: ASYNC110 - the server runs in this loop
            await asyncio.sleep(0)
        running.cancel()
        await model.disconnected.wait()
        with pytest.raises(asyncio.CancelledError):
            await running


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def test_runs_at_the_same_time_do_not_mix() -> None:
    async with FakeModel(Reply(calls=ONE_CALL), Reply(text="x")) as model, agent_on(model) as agent:
        model.replies = [Reply(calls=ONE_CALL) for _ in range(8)] + [Reply(text="done")]
        results = await asyncio.gather(*(run(agent) for _ in range(8)))
        for recorder, _ in results:
            assert [call.result for call in recorder.calls] == [12.75]
            assert recorder.content == "done"


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
        async with open_agent(settings, (calculate,), AzureCredential()) as agent:
            await run(agent)
        assert "from-environment" not in json.dumps([model.requests, model.headers])


async def test_azure_is_called_under_its_v1_path_with_the_key() -> None:
    async with FakeModel(Reply(text="Hello")) as model:
        settings = Settings(
            azure_openai_endpoint=model.url, azure_openai_model="my-deployment", azure_openai_api_key="azure-key"
        )
        async with open_agent(settings, (calculate,), AzureCredential()) as agent:
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
        async with AzureCredential() as credential, open_agent(settings, (calculate,), credential) as agent:
            await run(agent)
        assert model.headers[0]["authorization"] == "Bearer token"
        assert identity.scopes == ["https://cognitiveservices.azure.com/.default"]
        assert identity.closed
