"""A model's stream in all the shapes that servers give it: what is told as it comes, and what the framework gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import agent_on, run

BASE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
END = {"delta": {}, "finish_reason": "stop"}


def chunk(delta: Any, *, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {**BASE, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **more}


def sse(*chunks: dict[str, Any]) -> Reply:
    lines = [f"data: {json.dumps(each)}\n\n" for each in chunks]
    return Reply(body="".join([*lines, "data: [DONE]\n\n"]).encode(), headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [
        ([chunk({"content": "a"}), chunk({"content": "b"}), chunk({}, finish_reason="stop")], ["a", "b"]),
        ([chunk({"content": "a"}), chunk({"content": "b"}, finish_reason="stop")], ["a", "b"]),
        ([chunk({"content": "a"}), chunk(None, finish_reason="stop")], ["a"]),
        ([chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}), chunk({}, finish_reason="stop")], ["a"]),
        ([chunk({"content": "a"}, usage={"prompt_tokens": 1}), chunk({"content": "b"}, finish_reason="stop")], ["a", "b"]),
        ([chunk({"content": "a", "reasoning_content": "hm"}), chunk({"content": "b"}, finish_reason="stop")], ["a", "b"]),
        ([chunk({"content": "a"}), {**BASE, "choices": []}, chunk({"content": "b"}, finish_reason="stop")], ["a", "b"]),
        ([{**BASE, "choices": [], "prompt_filter_results": []}, chunk({"content": "a"}, finish_reason="stop")], ["a"]),
        ([chunk({"content": "a"}, x_server="y"), chunk({}, finish_reason="stop")], ["a"]),
    ],
)
async def test_text_is_told_once_and_in_its_pieces(chunks: list[dict[str, Any]], pieces: list[str]) -> None:
    async with FakeModel(sse(*chunks)) as model, agent_on(model) as agent:
        recorder, result = await run(agent, stream=True)
        assert [piece for kind, piece in recorder.events if kind == "text"] == pieces
        assert result.model == "m"


async def test_text_before_a_tool_call_is_shown_to_the_model_again() -> None:
    replies = (Reply(text="Let me see.", calls=(Call("calculate", '{"expression": "1"}'),)), Reply(text="Well."))
    async with FakeModel(*replies) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=True)
        assert [kind for kind, _ in recorder.events] == ["text"] * 3 + ["started", "completed", "text"]
        said = [each["content"] for each in model.requests[1]["messages"] if each["role"] == "assistant"]
        assert "Let me see." in json.dumps(said)


async def test_text_around_interleaved_tool_calls_stays_in_order() -> None:
    called = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "calculate", "arguments": ""}}
    first = sse(
        chunk({"content": "one "}),
        chunk({"tool_calls": [called]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"expression": "1"}'}}]}),
        chunk({"content": "two"}),
        chunk({}, finish_reason="tool_calls"),
    )
    async with FakeModel(first, Reply(text="three")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=True)
        assert recorder.content == "one \n\ntwo\n\nthree"
        assert [call.arguments for call in recorder.calls] == [{"expression": "1"}]
