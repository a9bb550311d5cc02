"""Answers that are JSON, but not of the types that the protocol says: a typed error, or an answer, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from errors import ModelUnavailable
from tests.fakes.model import FakeModel, Reply
from tests.fakes.responses_model import FakeResponses
from tests.support.agent import agent_on, run

DEEP = "[" * 100_000
NAMELESS = {"id": "a", "function": {"name": 5, "arguments": "{}"}}


def chosen(message: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}], **more}


def called(**call: Any) -> dict[str, Any]:
    return {"output": [{"type": "function_call", **call}]}


def reply(body: str, *, stream: bool) -> Reply:
    return Reply(body=f"data: {body}\n\n".encode() if stream else body.encode())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        {"choices": {"a": 1}},
        {"choices": "x"},
        chosen("x"),
        chosen({"content": 5}),
        chosen({"tool_calls": {"a": 1}}),
        chosen({"tool_calls": [NAMELESS]}),
        chosen({"tool_calls": [{**NAMELESS, "function": {"name": {"a": 1}}}]}),
        DEEP,
    ],
)
async def test_what_is_no_answer_is_unavailable(body: Any, stream: bool) -> None:
    sent = body if body == DEEP else json.dumps(body)
    async with FakeModel(reply(sent, stream=stream)) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "response.output_text.delta"},
        {"type": "response.output_item.done"},
        {"type": "response.output_item.done", "item": {}},
        {"type": "response.completed"},
        {"type": "response.failed"},
        {"output": [{}]},
        {"output": [{"type": "reasoning", "summary": [{}]}]},
        called(call_id="a", name=5, arguments="{}"),
        DEEP,
    ],
)
async def test_what_is_no_response_is_unavailable(body: Any, stream: bool) -> None:
    sent = body if body == DEEP else json.dumps(body)
    async with FakeResponses(reply(sent, stream=stream)) as model, agent_on(model, model_api="responses") as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=stream)


@pytest.mark.parametrize("told", ["x", [1], {"prompt_tokens": "a"}, {"prompt_tokens": 10**30, "completion_tokens": 10**30}])
async def test_a_count_that_is_none_leaves_the_estimate(told: Any) -> None:
    answer = reply(json.dumps(chosen({"content": "Hi"}, usage=told)), stream=True)
    async with FakeModel(answer) as model, agent_on(model) as agent:
        recorder, result = await run(agent, stream=True)
    assert (recorder.content, result.output_tokens) == ("Hi", 1)
    assert 0 < result.input_tokens < 1000


async def test_a_models_name_that_is_none_is_the_one_in_the_settings() -> None:
    body = json.dumps({"output": [{"type": "message", "content": [{"text": "Hi"}]}], "model": 5})
    async with FakeResponses(reply(body, stream=False)) as model, agent_on(model, model_api="responses") as agent:
        _, result = await run(agent)
    assert result.model == "gpt-x"


async def test_a_models_name_that_is_long_is_cut() -> None:
    """It is stored with the message."""
    body = json.dumps(chosen({"content": "Hi"}, model="m" * 3_000_000))
    async with FakeModel(reply(body, stream=True)) as model, agent_on(model) as agent:
        _, result = await run(agent, stream=True)
    assert result.model == "m" * 200


@pytest.mark.parametrize("stream", [False, True])
async def test_an_id_that_is_a_number_is_one(stream: bool) -> None:
    call = {"id": 5, "function": {"name": "calculate", "arguments": '{"expression": "1"}'}}
    body = json.dumps(chosen({"tool_calls": [call]}))
    async with FakeModel(reply(body, stream=stream), Reply(text="Done.")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
    assert [(each.id, each.result) for each in recorder.calls] == [("5", 12.75)]


async def test_a_responses_arguments_may_be_an_object() -> None:
    asks = reply(json.dumps(called(call_id="a", name="calculate", arguments={"expression": "1"})), stream=True)
    ends = reply(json.dumps({"output": []}), stream=True)
    async with FakeResponses(asks, ends) as model, agent_on(model, model_api="responses") as agent:
        recorder, _ = await run(agent, stream=True)
    assert [each.result for each in recorder.calls] == [12.75]


@pytest.mark.parametrize("stream", [False, True])
async def test_arguments_that_are_nested_too_deeply_are_the_calls_error(stream: bool) -> None:
    call = {"id": "a", "function": {"name": "calculate", "arguments": DEEP}}
    body = json.dumps(chosen({"tool_calls": [call]}))
    async with FakeModel(reply(body, stream=stream), Reply(text="Done.")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
    assert recorder.content == "Done."
    assert [each.error for each in recorder.calls] == ["the arguments are not a JSON object"]
