"""The connection to a model's server, where the server does with HTTP what few servers do."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from base64 import b64encode
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError

from agent.agent import open_agent
from agent.llm.connection import open_connection
from agent.usage import CallUsage
from errors import ContentFiltered, ModelMisconfigured, ModelUnavailable
from identity.azure_credential import AzureCredential
from settings import Settings
from tests.fakes.model import FakeModel, Reply, head_of
from tests.support.agent import agent_on, calculate, run
from tests.support.assistant_folder import HARBOUR

QUESTION = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'


class InPieces(FakeModel):
    """A server whose answers arrive in two pieces, the second one well after the first."""

    async def write_answer(self, writer: asyncio.StreamWriter, request: dict[str, Any], reply: Reply) -> None:
        body = json.dumps({"error": reply.error}).encode()
        writer.write(head_of(reply.status, {"content-length": str(len(body))}) + body[:20])
        for _ in range(20):
            await asyncio.sleep(0)
        writer.write(body[20:])
        await writer.drain()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_that_comes_in_pieces_is_read_as_a_whole(stream: bool) -> None:
    reply = Reply(status=400, error={"message": "no", "code": "content_filter"})
    async with InPieces(reply) as model, agent_on(model) as agent:
        with pytest.raises(ContentFiltered):
            await run(agent, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [301, 307, 308])
async def test_a_redirect_is_a_wrong_address(status: int, stream: bool) -> None:
    moved = Reply(status=status, headers={"location": "/elsewhere"})
    async with FakeModel(moved) as model, agent_on(model) as agent:
        with pytest.raises(ModelMisconfigured):
            await run(agent, stream=stream)
        model.models = moved
        with pytest.raises(ModelMisconfigured):
            await agent.ping()
        assert len(model.requests) == 1


async def test_what_a_server_takes_after_one_that_was_not_there_is_counted() -> None:
    """Between the attempts the server starts."""
    model = FakeModel(Reply(text="Hi"))
    async with model:
        url = model.url
    port = int(url.rpartition(":")[2])

    async def start(_: float) -> None:
        await model.listen(port)

    usage = CallUsage(400)
    async with open_connection(Settings(openai_base_url=url, openai_model="m"), AzureCredential(), sleep=start) as connection:
        await connection.post("/chat/completions", QUESTION, usage)
    model._server.close()
    assert usage.input_tokens == 100


async def test_a_name_and_a_password_in_the_address_sign_in() -> None:
    async with FakeModel(Reply(text="Hi")) as model:
        settings = Settings(openai_base_url=model.url.replace("://", "://ann:s%40fe@"), openai_model="m")
        async with open_agent(settings, HARBOUR, (calculate,), AzureCredential()) as agent:
            await agent.ping()
            recorder, _ = await run(agent)
        login = "Basic " + b64encode(b"ann:s@fe").decode()
        assert [each["authorization"] for each in model.headers] == [login, login]
        assert recorder.content == "Hi"


async def test_a_proxy_may_be_named_without_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeModel(Reply(text="Hi")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removeprefix("http://"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        settings = Settings(openai_base_url="http://models/v1", openai_model="m")
        async with open_agent(settings, HARBOUR, (calculate,), AzureCredential()) as agent:
            recorder, _ = await run(agent)
        assert recorder.content == "Hi"
        assert proxy.paths == ["http://models/v1/chat/completions"]


async def test_an_answer_that_is_packed_small_is_not_read_without_end() -> None:
    packed = gzip.compress(b" " * 50_000_000)
    async with FakeModel(Reply(body=packed, headers={"content-encoding": "gzip"})) as model, agent_on(model) as agent:
        tracemalloc.start()
        try:
            with pytest.raises(ModelUnavailable):
                await run(agent)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 40_000_000, peak


async def test_a_stream_of_more_than_any_answer_is_left() -> None:
    """What it tells is kept until its end. Packed, a few bytes are enough for it."""
    piece = b'data: {"choices": [{"delta": {"content": "' + b"x" * 1_000_000 + b'"}, "finish_reason": "stop"}]}\n\n'
    packing = zlib.compressobj(wbits=31)
    packed = b"".join([*(packing.compress(piece) for _ in range(100)), packing.compress(b"data: [DONE]\n\n"), packing.flush()])
    async with FakeModel(Reply(body=packed, headers={"content-encoding": "gzip"})) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=True)


async def test_what_was_refused_is_not_counted_where_the_turn_ends_before_it_is_sent_again() -> None:
    async def end(_: float) -> None:
        raise asyncio.CancelledError

    usage = CallUsage(400)
    async with FakeModel(Reply(status=503)) as model:
        settings = Settings(openai_base_url=model.url, openai_model="m")
        async with open_connection(settings, AzureCredential(), sleep=end) as connection:
            with pytest.raises(asyncio.CancelledError):
                await connection.post("/chat/completions", QUESTION, usage)
    assert usage.input_tokens == 0


async def test_a_key_with_the_line_end_of_its_file_is_the_key() -> None:
    async with FakeModel(Reply(text="Hi")) as model, agent_on(model, openai_api_key="sesame\n") as agent:
        await agent.ping()
        await run(agent)
        assert [each["authorization"] for each in model.headers] == ["Bearer sesame"] * 2


async def test_what_a_proxy_holds_back_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy(FakeModel):
        async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head_of(407, {"content-length": "0"}))
            return False

    usage = CallUsage(400)
    async with Proxy() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        settings = Settings(openai_base_url="https://models.example/v1", openai_model="m")
        async with open_connection(settings, AzureCredential()) as connection:
            with pytest.raises(ModelUnavailable):
                await connection.post("/chat/completions", QUESTION, usage)
    assert usage.input_tokens == 0


async def test_a_token_is_on_its_way_before_the_first_turn_wants_it() -> None:
    asked = asyncio.Event()

    class Watched(AzureCredential):
        async def get_token_info(self, *_: str, options: Any = None) -> Any:
            asked.set()
            raise ClientAuthenticationError("no identity here")

    settings = Settings(azure_openai_endpoint="https://chat.openai.azure.com", azure_openai_model="m")
    async with open_connection(settings, Watched()) as connection:
        await asked.wait()
        with pytest.raises(ModelMisconfigured):
            await connection.post("/chat/completions", QUESTION, CallUsage(1))
