"""What models and tools should not send, and do: lone surrogates, names that are none, arguments nested for ever."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic_core import to_json
from typing_extensions import override

from calls import ToolCall
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import Recorder, a_message, a_request, agent_on, run
from tools.tool import Source

LONE = "\ud800"
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class StrictModel(FakeModel):
    """Refuses a prompt with a tool call whose name the protocol does not allow, as OpenAI and Azure OpenAI do."""

    @override
    def reply_to(self, request: dict[str, Any]) -> Reply:
        calls = [call for each in request["messages"] for call in each.get("tool_calls") or ()]
        if not all(NAME.fullmatch(call["function"]["name"]) for call in calls):
            return Reply(status=400)
        return super().reply_to(request)


def is_storable(recorder: Recorder) -> bool:
    """Write down all that was told, as every store and stream does."""
    told = [recorder.events, *(each.model_dump() for each in [*recorder.calls, *recorder.sources])]
    return "\ufffd" in to_json(told).decode()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_lone_surrogate_in_a_text_is_replaced(stream: bool) -> None:
    """Audit H2."""
    async with FakeModel(Reply(text=f"one {LONE}two 😀 three")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
        assert recorder.content == "one \ufffdtwo 😀 three"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "call",
    [
        Call("find", '{"query": "a\\ud800b"}'),
        Call("find", f'{{"query": "a{LONE}b"}}'),
        Call("find", '{"query": "q", "more": {"\\ud800": ["\\udfff"]}}'),
        Call("find", '{"query": "error \\ud800"}'),
        Call("unknown", '{"query": "\\ud800"}'),
        Call(f"unknown{LONE}", "{}", f"call_{LONE}"),
    ],
)
async def test_a_lone_surrogate_in_a_call_is_replaced(call: Call, stream: bool) -> None:
    """Audit H2: in arguments, whether they are escaped once or twice, in results, in errors, in names."""

    def find(query: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
        """Find."""
        if "error" in query:
            raise ValueError
        return {"found": query, "more": more}

    async with FakeModel(Reply(calls=(call,)), Reply(text="Done.")) as model, agent_on(model, find) as agent:
        recorder, _ = await run(agent, stream=stream)
        assert recorder.content == "Done."
        assert is_storable(recorder)


async def test_a_lone_surrogate_from_a_tool_is_replaced() -> None:
    """Audit H2: in results, and in the sources that an answer cites."""

    def find() -> list[Source]:
        """Find."""
        return [Source(id=f"a{LONE}", title=LONE, url=LONE, snippet=LONE)]

    def read() -> dict[str, Any]:
        """Read."""
        return {"text": [LONE]}

    calls = (Call("find", "{}", "call_1"), Call("read", "{}", "call_2"))
    async with FakeModel(Reply(calls=calls), Reply(text="[1]")) as model, agent_on(model, find, read) as agent:
        recorder, _ = await run(agent)
        assert is_storable(recorder)
        assert [each.error for each in recorder.calls] == [None, None]
        assert recorder.sources[0].title == "\ufffd"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["multi_tool_use.parallel", "functions.calculate", "wétter", "x" * 65])
async def test_a_made_up_name_goes_back_as_the_protocol_allows(name: str, stream: bool) -> None:
    """Audit M10: the turn goes on, and so does the thread that has such a call in its history."""
    async with StrictModel(Reply(calls=(Call(name, "{}"),)), Reply(text="Sorry.")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
        assert (recorder.content, [each.error for each in recorder.calls]) == ("Sorry.", [f"there is no tool {name}"])
        past = [a_message("hi", 1), a_message("Sorry.", 2, "assistant", recorder.calls)]
        later = Recorder()
        await agent.run(a_request(a_message("and now?", 3), history=past), observer=later, stream=stream)
        assert later.content == "Sorry."


async def test_a_stored_call_without_a_name_is_shown_with_one() -> None:
    """Audit M10."""
    past = [a_message("hi", 1), a_message("x", 2, "assistant", [ToolCall(id="c", tool="", arguments={}, duration_ms=0)])]
    async with StrictModel(Reply(text="Fine.")) as model, agent_on(model) as agent:
        recorder = Recorder()
        await agent.run(a_request(a_message("and now?", 3), history=past), observer=recorder, stream=False)
        assert recorder.content == "Fine."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["calculate", "unknown"])
@pytest.mark.parametrize("depth", [150, 400, 3000])
async def test_deeply_nested_arguments_are_the_calls_error(depth: int, name: str, stream: bool) -> None:
    """Audit L5."""
    arguments = '{"expression": ' + "[" * depth + "]" * depth + "}"
    async with FakeModel(Reply(calls=(Call(name, arguments),)), Reply(text="Sorry.")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
        assert recorder.content == "Sorry."
        [made] = recorder.calls
        assert made.arguments == {}
        assert made.error == (
            "the arguments are nested deeper than 100 levels" if name == "calculate" else "there is no tool unknown"
        )


@pytest.mark.parametrize("name", ["calculate", "unknown"])
async def test_a_number_that_python_does_not_read_is_the_calls_error(name: str) -> None:
    call = Call(name, '{"expression": ' + "9" * 5000 + "}")
    async with FakeModel(Reply(calls=(call,)), Reply(text="Sorry.")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent)
        assert recorder.content == "Sorry."
        assert recorder.calls[0].status == "failed"


async def test_a_deeply_nested_result_is_the_calls_error() -> None:
    """Audit L5: Cosmos DB would refuse the reply."""

    def nest() -> Any:
        """Nest."""
        return json.loads("[" * 150 + "]" * 150)

    async with FakeModel(Reply(calls=(Call("nest", "{}"),)), Reply(text="Sorry.")) as model, agent_on(model, nest) as agent:
        recorder, _ = await run(agent)
        assert [each.error for each in recorder.calls] == ["the tool's result cannot be shown"]


async def test_arguments_as_deep_as_allowed_are_given() -> None:
    def keep(value: list[Any]) -> Any:
        """Keep."""
        return value

    arguments = {"value": json.loads("[" * 99 + "]" * 99)}
    replies = (Reply(calls=(Call("keep", json.dumps(arguments)),)), Reply(text="Done."))
    async with FakeModel(*replies) as model, agent_on(model, keep) as agent:
        recorder, _ = await run(agent)
        assert (recorder.calls[0].arguments, recorder.calls[0].result) == (arguments, arguments["value"])
