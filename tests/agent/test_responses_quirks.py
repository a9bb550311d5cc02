"""Servers that speak the Responses API in ways of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from errors import ModelUnavailable
from tests.fakes.model import Reply
from tests.fakes.responses_model import FakeResponses
from tests.support.agent import agent_on, run

CALL = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "calculate", "arguments": '{"expression": "1"}'}
MESSAGE = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hi there"}]}
END = {"type": "response.completed", "response": {}}


def delta(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text, **more}


def done(item: Any, **more: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item, **more}


def streamed(*events: dict[str, Any]) -> Reply:
    return Reply(body="".join(f"data: {json.dumps(event)}\n\n" for event in events).encode())


@pytest.mark.parametrize(
    "events",
    [
        # Another id in each event.
        (delta("Hi ", item_id="x", output_index=0), delta("there", item_id="y", output_index=0), done(MESSAGE, output_index=0)),
        # No id, or neither id nor place.
        (delta("Hi ", output_index=0), delta("there", output_index=0), done(MESSAGE, output_index=0)),
        (delta("Hi "), delta("there"), done(MESSAGE)),
        # Only the whole: twice, or at the end.
        (done(MESSAGE, output_index=0), done(MESSAGE, output_index=0)),
        ({"type": "response.completed", "response": {"output": [MESSAGE]}},),
        (delta("Hi "), delta("there"), {"type": "response.completed", "response": {"output": [MESSAGE]}}),
        # Unknown events and items.
        ({"type": "response.new.delta", "delta": 5}, done({"type": "new", "content": 5}), done(MESSAGE)),
        # A refusal.
        (done({"type": "message", "content": [{"type": "refusal", "refusal": "Hi there"}]}),),
    ],
)
async def test_each_text_is_told_once(events: tuple[dict[str, Any], ...]) -> None:
    async with FakeResponses(streamed(*events, END)) as model, agent_on(model, model_api="responses") as agent:
        recorder, _ = await run(agent, stream=True)
    assert recorder.content == "Hi there"


@pytest.mark.parametrize(
    ("events", "count"),
    [
        ((done(CALL, output_index=0), done(CALL, output_index=0)), 1),
        ((done(CALL), done(CALL)), 1),
        (({"type": "response.completed", "response": {"output": [CALL]}},), 1),
        # The same id for two calls.
        ((done(CALL, output_index=0), done({**CALL, "call_id": "b"}, output_index=1)), 2),
        ((done({**CALL, "id": None, "call_id": None}), done({**CALL, "id": None, "call_id": None})), 2),
    ],
)
async def test_each_call_is_made_once(events: tuple[dict[str, Any], ...], count: int) -> None:
    replies = (streamed(*events, END), streamed(done(MESSAGE), END))
    async with FakeResponses(*replies) as model, agent_on(model, model_api="responses") as agent:
        recorder, _ = await run(agent, stream=True)
    assert [call.result for call in recorder.calls] == [12.75] * count
    assert recorder.content == "Hi there"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_was_given_up_is_none(status: str, stream: bool) -> None:
    """Whether its error is told, or not."""
    answer = {"status": status, "error": None, "output": [MESSAGE]}
    reply = streamed({"type": "response.completed", "response": answer}) if stream else Reply(body=json.dumps(answer).encode())
    async with FakeResponses(reply) as model, agent_on(model, model_api="responses") as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=stream)
