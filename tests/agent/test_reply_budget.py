"""A reply never becomes too large to be stored, whatever the model and the tools make of it (audit M1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_core import to_json

from agent.budget import MAX_REPLY_BYTES
from agent.run import NO_ROOM
from agent.text import CUT_MARK
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import Recorder, agent_on, run

# aiohttp would like large bodies in files.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
CHINESE = "天" * 20_000


def look_up(topic: str) -> str:
    """Look something up."""
    return CHINESE


def size_of(recorder: Recorder) -> int:
    return len(to_json((recorder.content, [call.model_dump() for call in recorder.calls], recorder.sources)))


def calls(number: int, tool: str = "look_up", **arguments: Any) -> tuple[Call, ...]:
    return tuple(Call(tool, json.dumps({"topic": "x", **arguments}), f"call_{each}") for each in range(number))


async def test_twenty_large_results_and_a_long_text_fit_into_a_reply() -> None:
    replies = (Reply(calls=calls(30)), Reply(text="天 " * 200_000))
    async with FakeModel(*replies) as model, agent_on(model, look_up, turn_max_tool_calls=40) as agent:
        recorder, _ = await run(agent)
    assert MAX_REPLY_BYTES * 0.85 < size_of(recorder) <= MAX_REPLY_BYTES
    errors = [call.error for call in recorder.calls]
    assert set(errors) == {None, NO_ROOM}
    assert errors.count(None) > 15
    # The model has read what the caller reads.
    shown = [json.loads(each["content"]) for each in model.requests[1]["messages"] if each["role"] == "tool"]
    assert shown.count({"error": NO_ROOM}) == errors.count(NO_ROOM)
    assert recorder.content.endswith(CUT_MARK)
    assert recorder.content.count(CUT_MARK) == 1


async def test_arguments_that_do_not_fit_are_left_out_and_their_calls_do_not_run() -> None:
    replies = (Reply(calls=calls(4, topic="天" * 150_000)), Reply(text="ok"))
    async with FakeModel(*replies) as model, agent_on(model, look_up) as agent:
        recorder, _ = await run(agent)
    assert size_of(recorder) <= MAX_REPLY_BYTES
    outcomes = sorted((call.error or "", call.arguments == {}) for call in recorder.calls)
    assert outcomes == [("", False)] * 2 + [(NO_ROOM, True)] * 2


async def test_refused_calls_count_too() -> None:
    replies = (Reply(calls=calls(600, tool="made_up" * 100)), Reply(text="ok"))
    async with FakeModel(*replies) as model, agent_on(model, look_up) as agent:
        recorder, _ = await run(agent)
    assert 100 < len(recorder.calls) < 600
    assert size_of(recorder) <= MAX_REPLY_BYTES
    assert [kind for kind, _ in recorder.events].count("started") == len(recorder.calls)
    assert recorder.content == "ok"
