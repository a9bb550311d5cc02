"""What a caller is told when the model's service fails, over a real socket."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from agent.agent import open_agent
from errors import (
    ChatError,
    ContentFiltered,
    ContextOverflow,
    ModelMisconfigured,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
)
from identity.azure_credential import AzureCredential
from settings import Settings
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import Recorder, a_message, a_request, agent_on, calculate, run
from tests.support.assistant_folder import HARBOUR

QUICK = {"retry-after-ms": "1"}


def refused(status: int, code: str | None = None, **headers: str) -> Reply:
    return Reply(status=status, error={"message": "secret text", "type": None, "code": code}, headers={**QUICK, **headers})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refused(429), ModelThrottled),
        (refused(429, "insufficient_quota"), ModelThrottled),
        (refused(500), ModelUnavailable),
        (refused(503), ModelUnavailable),
        (refused(408), ModelUnavailable),
        (refused(400, "content_filter"), ContentFiltered),
        (refused(400, "context_length_exceeded"), ContextOverflow),
        (refused(400, "unsupported_parameter"), ModelMisconfigured),
        (refused(401, "invalid_api_key"), ModelMisconfigured),
        (refused(403), ModelMisconfigured),
        (refused(404, "DeploymentNotFound"), ModelMisconfigured),
        (Reply(text="I", finish_reason="content_filter"), ContentFiltered),
        (Reply(finish_reason="content_filter"), ContentFiltered),
    ],
)
async def test_a_refusal_becomes_a_typed_error(reply: Reply, error: type[ChatError], stream: bool) -> None:
    async with FakeModel(reply) as model, agent_on(model) as agent:
        with pytest.raises(error) as caught:
            await run(agent, stream=stream)
        assert "secret" not in caught.value.detail


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_hangs_up_is_unavailable(stream: bool) -> None:
    async with FakeModel(Reply(drop=True)) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=stream)
        assert len(model.requests) == 3


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    settings = Settings(openai_base_url="http://127.0.0.1:9/v1", openai_model="gpt-x")
    async with open_agent(settings, HARBOUR, (calculate,), AzureCredential()) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"{}", b'{"choices": null}', b'{"choices": [null]}', b'{"error": null}'])
async def test_json_that_is_no_answer_is_unavailable(body: bytes, stream: bool) -> None:
    async with FakeModel(Reply(body=b"data: " + body + b"\n\n" if stream else body)) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=stream)


@pytest.mark.parametrize("body", [b"<html>", b'{"choices": []', b""])
async def test_an_answer_that_is_no_json_is_unavailable(body: bytes) -> None:
    async with FakeModel(Reply(body=body)) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent)


async def test_a_stream_cut_in_the_middle_is_unavailable_and_not_tried_again() -> None:
    async with FakeModel(Reply(text="one two three", drop_after_pieces=2)) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=True)
        assert len(model.requests) == 1


async def test_an_error_inside_a_stream_is_typed() -> None:
    body = b'data: {"error": {"message": "x", "type": "server_error", "code": "server_error"}}\n\n'
    reply = Reply(body=body, headers={"content-type": "text/event-stream"})
    async with FakeModel(reply) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_slow_model_times_out(stream: bool) -> None:
    forever = asyncio.Event()

    async def wait() -> None:
        await forever.wait()

    async with FakeModel(Reply(text="x", wait=wait)) as model, agent_on(model, model_timeout_seconds=0.2) as agent:
        with pytest.raises(ModelTimeout):
            await run(agent, stream=stream)


async def test_a_stream_that_stalls_times_out() -> None:
    pieces = 0

    async def stall() -> None:
        nonlocal pieces
        pieces += 1
        if pieces > 2:
            await asyncio.Event().wait()

    async with (
        FakeModel(Reply(text="one two three", wait_for_piece=stall)) as model,
        agent_on(model, model_timeout_seconds=0.2) as agent,
    ):
        with pytest.raises(ModelTimeout):
            await run(agent, stream=True)


@pytest.mark.parametrize("fault", [refused(429), refused(500), refused(408), Reply(drop=True)])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_safe_is_tried_again(fault: Reply, stream: bool) -> None:
    async with FakeModel(fault, Reply(text="Hello")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
        assert recorder.content == "Hello"
        assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "20"}, 20), ({"retry-after-ms": "7500"}, 7.5), ({"retry-after-ms": "x", "retry-after": "6"}, 6)],
)
async def test_a_long_wait_is_the_callers(headers: dict[str, str], seconds: float) -> None:
    async with FakeModel(Reply(status=429, headers=headers)) as model, agent_on(model) as agent:
        with pytest.raises(ModelThrottled) as caught:
            await run(agent)
        assert caught.value.retry_after == seconds
        assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("azure", "status", "setting"),
    [
        (False, 401, "OPENAI_API_KEY"),
        (False, 404, "OPENAI_MODEL"),
        (True, 403, "AZURE_OPENAI_API_KEY"),
        (True, 404, "AZURE_OPENAI_MODEL"),
    ],
)
async def test_the_log_names_the_setting_that_is_wrong(
    azure: bool, status: int, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeModel(refused(status)) as model:
        settings: dict[str, Any] = (
            {"azure_openai_endpoint": model.url, "azure_openai_model": "m", "azure_openai_api_key": "k"}
            if azure
            else {"openai_base_url": model.url, "openai_model": "m"}
        )
        async with open_agent(Settings(**settings), HARBOUR, (calculate,), AzureCredential()) as agent:
            with caplog.at_level(logging.ERROR), pytest.raises(ModelMisconfigured):
                await run(agent)
    assert f"check {setting}" in caplog.text


async def test_an_identity_without_a_token_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import azure.identity.aio
    from azure.core.exceptions import ClientAuthenticationError

    class Identity:
        async def __aenter__(self) -> Identity:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def get_token_info(self, *_: str, **__: Any) -> None:
            raise ClientAuthenticationError("nobody is signed in")

    monkeypatch.setattr(azure.identity.aio, "DefaultAzureCredential", Identity)
    async with FakeModel(Reply(text="x")) as model:
        settings = Settings(azure_openai_endpoint=model.url, azure_openai_model="m")
        async with open_agent(settings, HARBOUR, (calculate,), AzureCredential()) as agent:
            recorder = Recorder()
            with pytest.raises(ModelMisconfigured):
                await agent.run(a_request(a_message("hi")), observer=recorder, stream=False)
    assert "AZURE_OPENAI_API_KEY" in caplog.text
    assert recorder.tokens == (0, 0)


async def test_a_failure_after_a_tool_call_is_typed_too() -> None:
    calls = (Call("calculate", '{"expression": "1"}'),)
    async with FakeModel(Reply(calls=calls), refused(400, "content_filter")) as model, agent_on(model) as agent:
        with pytest.raises(ContentFiltered):
            await run(agent)
