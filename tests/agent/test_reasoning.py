"""What a model thinks before it answers, in all the shapes in which servers send it: told, and never taken for its text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.budget import MAX_REPLY_BYTES, TEXT_BYTES
from agent.llm.think_tags import ThinkTags
from agent.text import CUT_MARK
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import Recorder, agent_on, run

STREAM = {"content-type": "text/event-stream"}
# aiohttp would like large bodies in files.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


def streamed(*deltas: dict[str, Any], finish_reason: str | None = "stop", usage: Any = None) -> Reply:
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish_reason})
    chunks = [{"model": "m", "choices": [choice]} for choice in choices] + [{"model": "m", "choices": [], "usage": usage}]
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return Reply(body="".join([*lines, "data: [DONE]\n\n"]).encode(), headers=STREAM)


def whole(message: dict[str, Any]) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return Reply(body=json.dumps({"model": "m", "choices": [choice]}).encode())


async def told(*replies: Reply, stream: bool) -> tuple[Recorder, FakeModel]:
    async with FakeModel(*replies) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
        return recorder, model


FIELDS: list[dict[str, Any]] = [
    {"reasoning_content": "Hm."},
    {"reasoning": "Hm."},
    {"reasoning": {"text": "Hm."}},
    {"reasoning_content": "Hm.", "reasoning": "Hm."},
    {"reasoning_content": "", "reasoning": "Hm."},
]


@pytest.mark.parametrize("fields", FIELDS, ids=json.dumps)
@pytest.mark.parametrize("stream", [True, False])
async def test_reasoning_beside_the_text_is_told_once(fields: dict[str, Any], stream: bool) -> None:
    reply = streamed(fields, {"content": "Yes."}) if stream else whole({**fields, "content": "Yes."})
    recorder, _ = await told(reply, stream=stream)
    assert recorder.events == [("reasoning", "Hm."), ("text", "Yes.")]


@pytest.mark.parametrize("nothing", [None, "", {}, {"text": None}, {"summary": "x"}, ["x"], 7], ids=str)
async def test_fields_without_reasoning_are_left_alone(nothing: Any) -> None:
    recorder, _ = await told(streamed({"reasoning": nothing, "content": "Yes."}), stream=True)
    assert recorder.events == [("text", "Yes.")]


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m."}], "closed": True}
SAID = {"type": "text", "text": "Yes."}
PARTS: list[list[dict[str, Any]]] = [
    [THOUGHT],
    [{"type": "thinking", "thinking": "Hm."}],
    [THOUGHT, {"type": "thinking", "thinking": None}, {"type": "reference", "reference_ids": [1]}],
    [{"type": "thinking", "thinking": [{"type": "reference", "reference_ids": [1]}]}, THOUGHT],
]


@pytest.mark.parametrize("parts", PARTS, ids=str)
@pytest.mark.parametrize("stream", [True, False])
async def test_reasoning_among_the_parts_of_a_text_is_told(parts: list[dict[str, Any]], stream: bool) -> None:
    """As Mistral sends it: whole, all of it are parts; in a stream, what is no reasoning comes as text."""
    pieces: list[dict[str, Any]] = [*({"content": [part]} for part in parts), {"content": "Yes."}]
    recorder, _ = await told(streamed(*pieces) if stream else whole({"content": [*parts, SAID]}), stream=stream)
    assert (recorder.thoughts, recorder.content) == ("Hm.", "Yes.")


TAGGED = [
    ("<think>Hm.</think>Yes.", "Hm.", "Yes."),
    ("<think>\nHm.\n</think>\n\nYes.", "Hm.\n", "Yes."),
    ("\n <think>Hm.</think>Yes.", "Hm.", "Yes."),
    ("<think>\n\n</think>\n\nYes.", "", "Yes."),
    ("<think>a < b </thin king </think>Yes.", "a < b </thin king ", "Yes."),
    ("<think>Hm. Yes", "Hm. Yes", ""),
    ("<think>Hm. </thin", "Hm. </thin", ""),
    ("<think>Hm.</think>", "Hm.", ""),
    ("Yes. <think>Hm.</think>", "", "Yes. <think>Hm.</think>"),
    ("<think>Hm.</think>Yes. <think>Hm.</think>", "Hm.", "Yes. <think>Hm.</think>"),
    ("<thinking>Hm.</thinking>", "", "<thinking>Hm.</thinking>"),
    ("<think", "", "<think"),
    ("  <b>Yes", "", "  <b>Yes"),
    ("</think>Yes.", "", "</think>Yes."),
    (" \n", "", " \n"),
]


@pytest.mark.parametrize(("text", "reasoning", "content"), TAGGED)
def test_tags_at_the_beginning_are_found_wherever_they_are_cut(text: str, reasoning: str, content: str) -> None:
    for size in range(1, len(text) + 1):
        tags = ThinkTags()
        parts = [tags.take(text[start : start + size]) for start in range(0, len(text), size)] + [tags.flush()]
        assert ("".join(each for each, _ in parts), "".join(each for _, each in parts)) == (reasoning, content), size


@pytest.mark.parametrize(("text", "reasoning", "content"), TAGGED)
@pytest.mark.parametrize("stream", [True, False])
async def test_tagged_reasoning_is_no_text(text: str, reasoning: str, content: str, stream: bool) -> None:
    reply = streamed(*({"content": char} for char in text)) if stream else whole({"content": text})
    recorder, _ = await told(reply, stream=stream)
    assert (recorder.thoughts, recorder.content) == (reasoning, content)


def test_what_is_certain_is_told_at_once() -> None:
    tags = ThinkTags()
    assert [tags.take(each) for each in ("<think>", "Hm", ".</", "think>", "\n", "Y", "es")] == [
        ("", ""),
        ("Hm", ""),
        (".", ""),
        ("", ""),
        ("", ""),
        ("", "Y"),
        ("", "es"),
    ]


async def test_reasoning_before_a_tool_call_never_goes_back_to_the_model() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "calculate", "arguments": "{}"}}
    calls = {"tool_calls": [call | {"function": {"name": "calculate", "arguments": '{"expression": "1"}'}}]}
    replies = [
        streamed({"reasoning_content": "Secret one."}, {"content": "<think>Secret two.</think>\n\n"}, calls),
        streamed({"reasoning_content": "Secret three."}, {"content": "Yes."}),
    ]
    recorder, model = await told(*replies, stream=True)
    assert recorder.thoughts == "Secret one.Secret two.\n\nSecret three."
    assert recorder.content == "Yes."
    assert len(model.requests) == 2
    assert "Secret" not in json.dumps(model.requests)


async def test_text_that_looked_like_a_tag_comes_before_the_call() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "calculate", "arguments": "{}"}}
    recorder, _ = await told(
        streamed({"content": "1 "}, {"content": "<"}, {"tool_calls": [call]}), Reply(text="2"), stream=True
    )
    assert recorder.content == "1 <\n\n2"


async def test_an_answer_of_reasoning_alone_is_one() -> None:
    recorder, _ = await told(streamed({"reasoning_content": "Hm."}, finish_reason=None), stream=True)
    assert recorder.events == [("reasoning", "Hm.")]


async def test_reasoning_counts_as_received_where_the_model_tells_no_usage() -> None:
    async with (
        FakeModel(streamed({"reasoning": "x" * 400}, {"content": "<think>" + "x" * 400})) as model,
        agent_on(model) as agent,
    ):
        _, result = await run(agent, stream=True)
        assert result.output_tokens == 200


@pytest.mark.parametrize("field", ["reasoning_content", "content"])
async def test_reasoning_that_never_ends_leaves_room_for_the_answer(field: str) -> None:
    begun = "<think>" if field == "content" else ""
    pieces: list[dict[str, Any]] = [{field: begun + "天" * 300_000}, {field: "天" * 300_000}, {field: "天"}]
    end: dict[str, Any] = {"content": ("</think>" if begun else "") + "yes " * 1000}
    recorder, _ = await told(streamed(*pieces, end), stream=True)
    assert MAX_REPLY_BYTES - TEXT_BYTES - 10 < len(recorder.thoughts.encode()) < MAX_REPLY_BYTES - TEXT_BYTES + 100
    assert recorder.thoughts.endswith(CUT_MARK)
    assert recorder.thoughts.count(CUT_MARK) == 1
    assert recorder.content == "yes " * 1000


async def test_reasoning_takes_nothing_of_what_is_left_to_the_text() -> None:
    call = Call("calculate", json.dumps({"expression": "x" * 1_244_000}))
    replies = [Reply(calls=(call,)), streamed({"reasoning": "Hm." * 1000}, {"content": "y" * 240_000})]
    recorder, _ = await told(*replies, stream=True)
    assert recorder.thoughts.endswith(CUT_MARK)
    assert 0 < len(recorder.thoughts) < 1000
    assert recorder.content == "y" * 240_000
