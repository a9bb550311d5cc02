"""Servers that speak the protocol in ways of their own: llama.cpp, Ollama, vLLM, gateways. What they mean is understood."""

from __future__ import annotations

import json
from typing import Any

import pytest

from errors import ContentFiltered, ModelMisconfigured, ModelThrottled, ModelUnavailable
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import agent_on, run

BASE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
SSE = {"content-type": "text/event-stream"}
ARGUMENTS = '{"expression": "1"}'
NO_STREAM = {"message": "Automatic streaming tool choice is not supported", "type": "internal_server_error"}
DONE = b"data: [DONE]\n\n"


def chunk(delta: Any, finish_reason: str | None = None, **more: Any) -> bytes:
    body = {**BASE, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **more}
    return f"data: {json.dumps(body)}\n\n".encode()


def call(name: str | None = None, arguments: Any = None, **more: Any) -> bytes:
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not None}
    return chunk({"tool_calls": [{**more, "function": function}]})


def streamed(*pieces: bytes) -> Reply:
    return Reply(body=b"".join(pieces), headers=SSE)


@pytest.mark.parametrize(
    ("pieces", "asked"),
    [
        # Whole, as Ollama sends it, with neither index nor id; arguments as an object.
        ([call("calculate", {"expression": "1"})], [{"expression": "1"}]),
        # In pieces without index and id: they belong to the last call.
        ([call("calculate", ""), call(None, '{"expression"'), call(None, ': "1"}')], [{"expression": "1"}]),
        # An index, but an id on the first piece only, or on each.
        ([call("calculate", "", index=0, id="a"), call(None, ARGUMENTS, index=0)], [{"expression": "1"}]),
        ([call("calculate", "", index=0, id="a"), call(None, ARGUMENTS, index=0, id="a")], [{"expression": "1"}]),
        # The name again with each piece.
        ([call("calculate", '{"expression"', index=0, id="a"), call("calculate", ': "1"}', index=0)], [{"expression": "1"}]),
        # An id, but no index.
        ([call("calculate", "", id="a"), call(None, ARGUMENTS, id="a")], [{"expression": "1"}]),
        # Two calls, all under the index 0.
        (
            [call("calculate", ARGUMENTS, index=0, id="a"), call("calculate", '{"expression": "2"}', index=0, id="b")],
            [{"expression": "1"}, {"expression": "2"}],
        ),
        # Two calls of the same id, and two without any.
        (
            [call("calculate", ARGUMENTS, index=0, id="a"), call("calculate", '{"expression": "2"}', index=1, id="a")],
            [{"expression": "1"}, {"expression": "2"}],
        ),
        ([call("calculate", ARGUMENTS), call("calculate", '{"expression": "2"}')], [{"expression": "1"}, {"expression": "2"}]),
        # Two calls of the same id, without any index.
        (
            [call("calculate", ARGUMENTS, id="a"), call("calculate", '{"expression": "2"}', id="a")],
            [{"expression": "1"}, {"expression": "2"}],
        ),
        ([call("calculate", '{"expression"', id="a"), call("calculate", ': "1"}', id="a")], [{"expression": "1"}]),
        # Interleaved by their index.
        (
            [
                call("calculate", "", index=0, id="a"),
                call("calculate", "", index=1, id="b"),
                call(None, ARGUMENTS, index=0),
                call(None, '{"expression": "2"}', index=1),
            ],
            [{"expression": "1"}, {"expression": "2"}],
        ),
    ],
)
@pytest.mark.parametrize("end", [chunk({}, "tool_calls") + DONE, chunk({}, "stop") + DONE, DONE])
async def test_calls_are_put_together(pieces: list[bytes], asked: list[dict[str, str]], end: bytes) -> None:
    async with FakeModel(streamed(*pieces, end), Reply(text="Done.")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=True)
        assert [each.arguments for each in recorder.calls] == asked
        assert [each.error for each in recorder.calls] == [None] * len(asked)
        assert len({each.id for each in recorder.calls}) == len(asked)
        # What goes back has each call with an id of its own, and its result under it.
        *_, assistant, first = model.requests[1]["messages"][: len(asked) * -1 + 1 or None]
        assert "content" in assistant
        ids = [each["id"] for each in assistant["tool_calls"]]
        assert len(set(ids)) == len(asked)
        assert first["tool_call_id"] == ids[0]


@pytest.mark.parametrize(
    "body",
    [
        chunk({"content": "Hi "}) + b": keep-alive\n\n" + chunk({"content": "there"}, "stop") + DONE,
        (chunk({"content": "Hi "}) + chunk({"content": "there"}, "stop") + DONE).replace(b"\n", b"\r\n"),
        chunk({"content": "Hi "}).replace(b"data: ", b"data:") + chunk({"content": "there"}, "stop"),
        b"event: message\nid: 1\nretry: 10\n" + chunk({"content": "Hi "}) + chunk({"content": "there"}, "stop") + DONE,
        chunk({"content": "Hi "}) + chunk({"content": "there"}) + DONE,
        chunk({"content": "Hi "}) + chunk({"content": "there"}) + chunk({}, "stop").rstrip(),
        chunk({"role": "assistant"}) + chunk({"content": "Hi there"}) + chunk(None, "stop") + DONE,
        chunk({"content": "Hi there"}, "stop") + b'data: {"choices": [], "usage": {"prompt_tokens": 3}}\n\n' + DONE,
        b'data: {"choices": [], "prompt_filter_results": []}\n\n' + chunk({"content": "Hi there"}, "stop") + DONE,
        chunk({"content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]}, "stop") + DONE,
        chunk({"content": None, "refusal": "Hi there"}, "stop") + DONE,
        chunk({"content": "Hi there"}, "stop").replace(b'"model": "m", ', b"") + DONE,
        # A sign of life, a mark of the encoding, and white space.
        b"data:\n\ndata: \n\n" + chunk({"content": "Hi there"}, "stop") + b"data:",
        b"\xef\xbb\xbf" + chunk({"content": "Hi there"}, "stop") + DONE,
        chunk({"content": "Hi there"}, "stop") + b"data:  [DONE] \n\n",
    ],
)
async def test_streams_of_all_kinds_are_read(body: bytes) -> None:
    async with FakeModel(streamed(body)) as model, agent_on(model) as agent:
        recorder, result = await run(agent, stream=True)
        assert recorder.content == "Hi there"
        assert result.model in ("m", "gpt-x")
        assert model.requests[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"role": "assistant", "content": "Hi there"}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "Hi there"}}]},
        {"choices": [{"message": {"content": "Hi there", "tool_calls": None}, "finish_reason": None}], "usage": None},
        {"choices": [{"message": {"content": "Hi there", "tool_calls": []}, "finish_reason": "length"}], "error": None},
    ],
)
async def test_whole_answers_of_all_kinds_are_read(body: dict[str, Any]) -> None:
    async with FakeModel(Reply(body=json.dumps(body).encode())) as model, agent_on(model) as agent:
        recorder, _ = await run(agent)
        assert recorder.content == "Hi there"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_whole_call_without_id_is_answered(stream: bool) -> None:
    message = {"content": "", "tool_calls": [{"function": {"name": "calculate", "arguments": {"expression": "1"}}}]}
    body = json.dumps({"choices": [{"message": message}]})
    first = streamed(f"data: {body}\n\n".encode(), DONE) if stream else Reply(body=body.encode())
    async with FakeModel(first, Reply(text="Done.")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
        assert [each.arguments for each in recorder.calls] == [{"expression": "1"}]
        assert recorder.content == "Done."


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"error": {"message": "overloaded", "code": 429}}, ModelThrottled),
        ({"error": {"message": "no such model", "code": "404"}}, ModelMisconfigured),
        ({"error": "something"}, ModelUnavailable),
        ({"object": "error", "message": "something", "code": 500}, ModelUnavailable),
    ],
)
async def test_an_error_where_all_was_said_to_be_well(stream: bool, error: dict[str, Any], expected: type[Exception]) -> None:
    reply = streamed(f"data: {json.dumps(error)}\n\n".encode()) if stream else Reply(body=json.dumps(error).encode())
    async with FakeModel(reply) as model, agent_on(model) as agent:
        with pytest.raises(expected):
            await run(agent, stream=stream)


ENDS_IN_FAILURE: list[tuple[dict[str, Any], dict[str, Any], type[Exception]]] = [
    # As OpenRouter tells of a provider that fails while it answers.
    ({"finish_reason": "error"}, {"error": {"code": "server_error", "message": "Provider disconnected"}}, ModelUnavailable),
    ({"finish_reason": "error"}, {"error": {"code": 429, "message": "Slow down"}}, ModelThrottled),
    ({"finish_reason": "error", "error": {"code": 429, "message": "Slow down"}}, {}, ModelThrottled),
    # As vLLM and SGLang tell of a request that they give up.
    ({"finish_reason": "error"}, {}, ModelUnavailable),
    ({"finish_reason": "abort"}, {}, ModelUnavailable),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("choice", "more", "expected"), ENDS_IN_FAILURE)
async def test_an_answer_that_ends_in_a_failure_is_one(
    choice: dict[str, Any], more: dict[str, Any], expected: type[Exception], stream: bool
) -> None:
    said = {"index": 0, ("delta" if stream else "message"): {"content": "Half an "}}
    if stream:
        last = {"choices": [{"index": 0, "delta": {"content": ""}, **choice}], **more}
        reply = streamed(b"".join(f"data: {json.dumps(each)}\n\n".encode() for each in ({"choices": [said]}, last)) + DONE)
    else:
        reply = Reply(body=json.dumps({"choices": [{**said, **choice}], **more}).encode())
    async with FakeModel(reply) as model, agent_on(model) as agent:
        with pytest.raises(expected):
            await run(agent, stream=stream)


@pytest.mark.parametrize(
    "body", [chunk({"content": "Hi"}), chunk({"content": "Hi"}) + b'data: {"choi', b"", b"data: 5\n\n", DONE]
)
async def test_a_stream_without_an_end_is_told_as_cut_off(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with FakeModel(streamed(body)) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=True)
    assert "was cut off" in caplog.text or "is not one" in caplog.text


@pytest.mark.parametrize("body", [b"", DONE, chunk({"role": "assistant"})])
async def test_a_stream_that_is_empty_names_the_setting(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """As llama-cpp-python's server answers to a stream with tools (0.3.36): status 200, and nothing."""
    async with FakeModel(streamed(body)) as model, agent_on(model) as agent:
        with pytest.raises(ModelUnavailable):
            await run(agent, stream=True)
    assert "was cut off before it began; if its server cannot stream with tools, set MODEL_STREAM=off" in caplog.text


async def test_an_answer_of_nothing_is_one_that_the_log_tells(caplog: pytest.LogCaptureFixture) -> None:
    """As the same server answers whenever it does not call a tool."""
    async with FakeModel(streamed(chunk({"content": ""}) + chunk({}, "stop") + DONE)) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=True)
    assert recorder.events == []
    assert "the model's answer is empty" in caplog.text


async def test_a_server_that_cannot_stream_with_tools_is_said_to_and_asked_without(caplog: pytest.LogCaptureFixture) -> None:
    class Server(FakeModel):
        def reply_to(self, request: dict[str, Any]) -> Reply:
            return Reply(status=500, error=NO_STREAM) if request.get("stream") else super().reply_to(request)

    async with Server(Reply(calls=(Call("calculate", ARGUMENTS),)), Reply(text="Done.")) as model:
        async with agent_on(model) as agent:
            with pytest.raises(ModelMisconfigured):
                await run(agent, stream=True)
        assert "check MODEL_STREAM: the server cannot stream with tools" in caplog.text
        async with agent_on(model, model_stream="off") as agent:
            recorder, _ = await run(agent, stream=True)
        assert (recorder.content, [each.result for each in recorder.calls]) == ("Done.", [12.75])


async def test_a_name_that_the_model_made_up_goes_back_as_one_that_servers_take() -> None:
    replies = (Reply(calls=(Call("multi_tool_use.parallel", "{}"),)), Reply(text="Sorry."))
    async with FakeModel(*replies) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=True)
        assert recorder.calls[0].error == "there is no tool multi_tool_use.parallel"
        sent = [message for message in model.requests[1]["messages"] if message.get("tool_calls")]
        assert sent[0]["tool_calls"][0]["function"]["name"] == "multi_tool_use_parallel"
        assert sent[0]["content"] is None


@pytest.mark.parametrize("indent", [None, 2])
async def test_a_server_that_does_not_stream_is_read_all_the_same(indent: int | None) -> None:
    whole = {"choices": [{"message": {"content": "Hi there"}, "finish_reason": "stop"}]}
    async with FakeModel(Reply(body=json.dumps(whole, indent=indent).encode())) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=True)
    assert recorder.content == "Hi there"


async def test_an_error_in_the_place_of_a_stream_is_typed() -> None:
    error = {"error": {"message": "no", "code": "content_filter"}}
    async with FakeModel(Reply(body=json.dumps(error).encode())) as model, agent_on(model) as agent:
        with pytest.raises(ContentFiltered):
            await run(agent, stream=True)
