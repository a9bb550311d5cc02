"""Tool calls of the agent: run, refused, cut off, limited, and shown to the model."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

import pytest
from pydantic import JsonValue

from calls import ToolCall
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import Recorder, a_message, a_request, agent_on, run

TWO_CALLS = (
    Call("get_tide", '{"place": "Seattle"}', "call_a"),
    Call("calculate", '{"expression": "85 * 0.15"}', "call_b"),
)


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_called_and_their_results_shown_to_the_model(stream: bool) -> None:
    async with (
        FakeModel(Reply(text="Let me see.", calls=TWO_CALLS), Reply(text="It is fine.")) as model,
        agent_on(model) as agent,
    ):
        recorder, result = await run(agent, stream=stream)
        assert recorder.content == "Let me see.\n\nIt is fine."
        assert {kind for kind, _ in recorder.events} == {"text", "started", "completed"}
        by_tool = {call.tool: call for call in recorder.calls}
        assert by_tool["calculate"].result == 12.75
        assert by_tool["calculate"].id == "call_b"
        assert by_tool["get_tide"].arguments == {"place": "Seattle"}
        assert by_tool["get_tide"].result == {"place": "Seattle", "units": "metric"}
        assert (result.input_tokens, result.output_tokens) == (22, 14)

        shown = model.requests[1]["messages"]
        assert [message["role"] for message in shown] == ["system", "user", "assistant", "tool", "tool"]
        assert {message["tool_call_id"]: json.loads(message["content"]) for message in shown[3:]} == {
            "call_a": {"place": "Seattle", "units": "metric"},
            "call_b": 12.75,
        }


BROKEN = ['{"place": ', "[]", '"x"', "5", "null", "{'place': 'x'}", '{"a": 1}{"a": 1}', "[" * 100_000]


@pytest.mark.parametrize("arguments", BROKEN, ids=lambda each: each[:10])
async def test_arguments_that_are_no_object_go_back_within_one(arguments: str) -> None:
    """Servers that read them again for their templates refuse anything else: the turn would end there."""
    async with (
        FakeModel(Reply(calls=(Call("get_tide", arguments),)), Reply(text="Sorry.")) as model,
        agent_on(model) as agent,
    ):
        recorder, _ = await run(agent, stream=True)
        assert recorder.content == "Sorry."
        assert [call.result for call in recorder.calls] == [None]
        (sent,) = model.requests[1]["messages"][2]["tool_calls"]
        assert set(json.loads(sent["function"]["arguments"])) <= {"raw"}


async def test_several_calls_at_once_run_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    async def wait_for_the_other(name: str) -> str:
        """Wait."""
        await both.wait()
        return name

    calls = tuple(Call("wait_for_the_other", json.dumps({"name": name}), name) for name in ("a", "b"))
    async with FakeModel(Reply(calls=calls), Reply(text="done")) as model, agent_on(model, wait_for_the_other) as agent:
        recorder, _ = await run(agent)
        assert sorted(str(call.result) for call in recorder.calls) == ["a", "b"]


async def test_a_blocking_tool_does_not_block_the_loop() -> None:
    released = threading.Event()

    def block() -> str:
        """Block."""
        return "free" if released.wait(10) else "stuck"

    started = asyncio.Event()

    class Watcher(Recorder):
        def tool_started(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> None:
            started.set()

    async with FakeModel(Reply(calls=(Call("block", "{}"),)), Reply(text="done")) as model, agent_on(model, block) as agent:
        watcher = Watcher()
        running = asyncio.create_task(agent.run(a_request(a_message("hi")), observer=watcher, stream=False))
        await started.wait()
        released.set()
        await running
        assert watcher.calls[0].result == "free"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (Call("calculate", '{"expression": "1/0"}'), "division by zero"),
        (Call("calculate", '{"expression": "crash"}'), "the tool failed"),
        (Call("calculate", "{}"), "expression"),
        (Call("calculate", '{"expression": 7}'), "expression"),
        (Call("calculate", '{"expression": "1'), "not a JSON object"),
        (Call("calculate", "[1]"), "not a JSON object"),
        (Call("launch_rocket", '{"to": "Mars"}'), "there is no tool launch_rocket"),
    ],
)
async def test_a_call_that_goes_wrong_is_an_error_for_the_model_and_the_caller(call: Call, error: str, stream: bool) -> None:
    async with FakeModel(Reply(calls=(call,)), Reply(text="Sorry.")) as model, agent_on(model) as agent:
        recorder, _ = await run(agent, stream=stream)
        [made] = recorder.calls
        assert made.tool == call.name
        assert error in (made.error or "")
        assert "secret" not in (made.error or "")
        assert made.result is None
        assert [kind for kind, _ in recorder.events if kind != "text"] == ["started", "completed"]
        told = model.requests[1]["messages"][-1]
        assert told["role"] == "tool"
        assert "secret" not in told["content"]
        assert recorder.content == "Sorry."


async def test_a_slow_tool_is_cut_off() -> None:
    cancelled = False

    async def sleep() -> None:
        """Sleep."""
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    async with (
        FakeModel(Reply(calls=(Call("sleep", "{}"),)), Reply(text="done")) as model,
        agent_on(model, sleep, tool_timeout_seconds=0.05) as agent,
    ):
        recorder, _ = await run(agent)
        assert recorder.calls[0].error == "the tool took longer than 0.05 seconds"
        assert cancelled


@pytest.mark.parametrize("result", [b"\xff", object(), "x" * 70_000])
async def test_a_result_that_cannot_be_shown_is_an_error(result: Any) -> None:
    def make() -> Any:
        """Make."""
        return result

    async with FakeModel(Reply(calls=(Call("make", "{}"),)), Reply(text="done")) as model, agent_on(model, make) as agent:
        recorder, _ = await run(agent)
        assert "result" in (recorder.calls[0].error or "")


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_are_limited_exactly(stream: bool) -> None:
    calls = tuple(Call("calculate", '{"expression": "1"}', f"call_{number}") for number in range(5))
    async with (
        FakeModel(Reply(calls=calls), Reply(text="done")) as model,
        agent_on(model, turn_max_tool_calls=3) as agent,
    ):
        recorder, _ = await run(agent, stream=stream)
        assert [call.error is None for call in recorder.calls].count(True) == 3
        assert [call.error for call in recorder.calls if call.error] == [
            "no more than 3 tool calls are possible in one turn"
        ] * 2


@pytest.mark.parametrize("stream", [False, True])
async def test_an_endless_tool_loop_ends_with_the_last_model_call(stream: bool) -> None:
    endless = Reply(calls=(Call("calculate", '{"expression": "1"}'),))
    async with FakeModel(endless) as model, agent_on(model, turn_max_model_calls=4) as agent:
        recorder, _ = await run(agent, stream=stream)
        assert len(model.requests) == 4
        assert model.requests[-1]["tool_choice"] == "none"
        assert len({call.id for call in recorder.calls}) == len(recorder.calls) == 3


async def test_past_tool_calls_are_shown_with_their_results() -> None:
    past = [
        a_message("What is 1+1 and 1/0?", 1),
        a_message(
            "It is 2.",
            2,
            "assistant",
            [
                ToolCall(id="x", tool="calculate", arguments={"expression": "1+1"}, result=2, duration_ms=1),
                ToolCall(id="x", tool="calculate", arguments={"expression": "1/0"}, error="division by zero", duration_ms=1),
            ],
        ),
        a_message("lost", 3).model_copy(update={"status": "interrupted"}),
    ]
    async with FakeModel(Reply(text="Hello")) as model, agent_on(model) as agent:
        await agent.run(a_request(a_message("And now?", 4), history=past), observer=Recorder(), stream=False)
        shown = model.requests[0]["messages"][1:]
        assert [message["role"] for message in shown] == [
            *("user", "assistant", "tool", "tool", "assistant"),
            *("user", "assistant", "user"),
        ]
        ids = [call["id"] for call in shown[1]["tool_calls"]]
        assert len(set(ids)) == 2
        assert [(message["tool_call_id"], json.loads(message["content"])) for message in shown[2:4]] == [
            (ids[0], 2),
            (ids[1], {"error": "division by zero"}),
        ]


async def test_a_failing_tool_is_logged_with_its_exception(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with (
            FakeModel(Reply(calls=(Call("calculate", '{"expression": "crash"}'),)), Reply(text="x")) as model,
            agent_on(model) as agent,
        ):
            await run(agent)
    assert "RuntimeError" in caplog.text
