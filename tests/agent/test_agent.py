"""The agent on a model that speaks the real protocol over a real socket."""

from __future__ import annotations

import asyncio

import pytest

from agent.agent import RunResult
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import agent_on, run

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
