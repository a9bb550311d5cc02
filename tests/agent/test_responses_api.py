"""The Responses API: asked for without storing anything, its reasoning carried through a turn's tool calls."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from calls import ToolCall
from errors import ContentFiltered, ContextOverflow, ModelMisconfigured, ModelThrottled, ModelUnavailable
from tests.fakes.model import Call, Reply
from tests.fakes.responses_model import FakeResponses, ThinkingReply
from tests.support.agent import Recorder, a_message, a_request, agent_on, run

TWO = (Call("calculate", '{"expression": "1"}', "a"), Call("get_tide", '{"place": "Oslo"}', "b"))
RESPONSES: dict[str, Any] = {"model_api": "responses"}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_turn_with_tools_keeps_what_was_thought(stream: bool) -> None:
    replies = (
        ThinkingReply(text="Let me see.", calls=TWO, reasoning="I need both."),
        ThinkingReply(calls=(Call("calculate", '{"expression": "2"}', "c"),), reasoning="One more."),
        Reply(text="It is fine."),
    )
    async with FakeResponses(*replies) as model, agent_on(model, **RESPONSES) as agent:
        recorder, result = await run(agent, stream=stream)
        assert model.paths == ["/v1/responses"] * 3
        assert recorder.content == "Let me see.\n\nIt is fine."
        assert sorted(call.tool for call in recorder.calls) == ["calculate", "calculate", "get_tide"]
        assert all(call.error is None for call in recorder.calls)
        assert (result.model, result.input_tokens, result.output_tokens) == ("gpt-x-2026", 33, 21)
        last = model.requests[-1]
        kinds = [item.get("role", item["type"]) for item in last["input"]]
        outputs = ["function_call_output"] * 2
        assert kinds == [
            *("user", "reasoning", "assistant", "function_call", "function_call", *outputs),
            *("reasoning", "function_call", "function_call_output"),
        ]
        assert last["input"][1]["encrypted_content"] == "enc1"
        assert "status" not in last["input"][1]
        assert (last["store"], last["stream"]) == (False, stream)
        assert last["instructions"]
        assert {tool["name"] for tool in last["tools"]} == {"calculate", "get_tide"}


@pytest.mark.parametrize("stream", [True, False])
async def test_reasoning_is_told_apart(stream: bool) -> None:
    reply = ThinkingReply(text="Hello you", reasoning="A greeting.")
    async with FakeResponses(reply) as model, agent_on(model, **RESPONSES) as agent:
        recorder, _ = await run(agent, stream=stream)
    assert recorder.content == "Hello you"
    assert recorder.thoughts == "A greeting."


async def test_earlier_exchanges_are_shown_with_their_calls() -> None:
    async with FakeResponses(ThinkingReply(calls=TWO), Reply(text="Fine."), Reply(text="Well.")) as model:
        async with agent_on(model, **RESPONSES) as agent:
            first, _ = await run(agent)
            past = [a_message("hi", 1), a_message(first.content, 2, "assistant", first.calls)]
            recorder = Recorder()
            await agent.run(a_request(a_message("and now?", 3), history=past), observer=recorder, stream=True)
        assert recorder.content == "Well."
        kinds = [item.get("role", item["type"]) for item in model.requests[-1]["input"]]
        calls = ["function_call"] * 2 + ["function_call_output"] * 2
        assert kinds == ["user", *calls, "assistant", "user"]


async def test_names_that_models_make_up_are_not_shown_to_servers_that_refuse_them() -> None:
    made_up = [ToolCall(id="c", tool=name, arguments={}, error="no such tool") for name in ("multi_tool_use.parallel", "", "ä")]
    past = [a_message("hi", 1), a_message("Hm.", 2, "assistant", made_up)]
    async with FakeResponses(Reply(text="Well.")) as model, agent_on(model, **RESPONSES) as agent:
        recorder = Recorder()
        await agent.run(a_request(a_message("and now?", 3), history=past), observer=recorder, stream=True)
    assert recorder.content == "Well."


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (ThinkingReply(text="Hm", failed="server_error"), ModelUnavailable),
        (ThinkingReply(failed="rate_limit_exceeded"), ModelThrottled),
        (ThinkingReply(failed="invalid_prompt"), ContentFiltered),
        (ThinkingReply(text="Hm", incomplete="content_filter"), ContentFiltered),
        (Reply(status=400, error={"message": "too long", "code": "context_length_exceeded"}), ContextOverflow),
        (Reply(status=401, error={"message": "no", "code": "invalid_api_key"}), ModelMisconfigured),
        (Reply(body=b"[]"), ModelUnavailable),
        (Reply(body=b"<html>"), ModelUnavailable),
        (Reply(body=b'{"output": [{"type": "message", "content": [5]}]}'), ModelUnavailable),
    ],
)
async def test_what_goes_wrong_is_told(stream: bool, reply: Reply, expected: type[Exception]) -> None:
    async with FakeResponses(reply) as model, agent_on(model, **RESPONSES) as agent:
        with pytest.raises(expected):
            await run(agent, stream=stream)


@pytest.mark.parametrize("pieces", range(1, 8))
async def test_a_stream_that_is_cut_off_is_no_answer(pieces: int) -> None:
    reply = ThinkingReply(text="Hello", reasoning="Well.", drop_after_pieces=pieces)
    async with FakeResponses(reply) as model, agent_on(model, **RESPONSES) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=True)


async def test_an_answer_cut_at_its_length_is_kept() -> None:
    reply = ThinkingReply(text="Hello", incomplete="max_output_tokens")
    async with FakeResponses(reply) as model, agent_on(model, **RESPONSES) as agent:
        recorder, _ = await run(agent, stream=True)
    assert recorder.content == "Hello"


async def test_the_fake_speaks_as_the_official_client_understands() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    reply = ThinkingReply(text="Hello you", calls=TWO, reasoning="Well, well.")
    async with FakeResponses(reply) as model:
        for number, event in enumerate(model.events({"model": "m"}, reply)):
            adapter.validate_python({**event, "sequence_number": number})
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{model.url}/v1", max_retries=0) as client:
            response = await client.responses.create(
                model="m", input=[{"role": "user", "content": "hi"}], store=False, include=["reasoning.encrypted_content"]
            )
            assert response.output_text == "Hello you"
            with pytest.raises(openai.BadRequestError):
                await client.responses.create(model="m", input=json.loads("[]"), store=False)
