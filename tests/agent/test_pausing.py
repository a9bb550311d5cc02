"""A run that waits for somebody, and goes on after it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from pydantic import JsonValue

from calls import REFUSED, Decider, ToolCall
from models import Owner, utcnow
from settings import SettingsError
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import Recorder, a_request, agent_on, calculate
from tests.support.refunds import QUESTION, REFUND, Till, an_open_call, ask, paused
from tools.checks import bind_context
from tools.context import ToolContext
from tools.tool import tool


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", [{"approval": "always"}, {"approval": lambda arguments, _: arguments["order"] == "A1"}])
async def test_a_call_that_asks_first_waits_and_its_siblings_run(how: dict[str, Any], stream: bool) -> None:
    till = Till()
    answer = Reply(calls=(REFUND, Call("calculate", '{"expression": "2"}')))
    async with FakeModel(answer) as model, agent_on(model, till.tool(**how), calculate, approval_ttl_seconds=60) as agent:
        recorder = await ask(agent, stream)
        waiting, sibling = sorted(recorder.calls, key=lambda call: call.status, reverse=True)
        assert till.paid == []
        assert (waiting.tool, waiting.status, waiting.awaits, waiting.arguments) == (
            "send_refund",
            "open",
            "approval",
            {"order": "A1"},
        )
        assert waiting.expires_at
        assert timedelta(seconds=50) < waiting.expires_at - utcnow() < timedelta(seconds=61)
        assert (sibling.tool, sibling.status, sibling.result) == ("calculate", "completed", 12.75)
        assert ("started", (waiting.id, "send_refund", {"order": "A1"})) not in recorder.events
        assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("how", "settings", "asks"),
    [
        ({}, {}, False),
        ({"acts": True}, {}, False),
        ({}, {"approval_tools": ("send_refund",)}, True),
        ({}, {"approval_tools": ("*",)}, True),
        ({"approval": lambda _, context: context.owner.user == "eve"}, {}, False),
        ({"approval": lambda *_: 1 / 0}, {}, True),
    ],
)
async def test_who_asks_first(how: dict[str, Any], settings: dict[str, Any], asks: bool) -> None:
    till = Till()
    async with (
        FakeModel(Reply(calls=(REFUND,)), Reply(text="Done.")) as model,
        agent_on(model, till.tool(**how), **settings) as agent,
    ):
        recorder = await ask(agent)
        assert (recorder.calls[0].status == "open") == asks == (till.paid == [])


async def test_a_tool_to_ask_about_that_there_is_not_is_told_at_start() -> None:
    async with FakeModel() as model:
        with pytest.raises(SettingsError, match="APPROVAL_TOOLS: there is no tool pay"):
            async with agent_on(model, approval_tools=("pay",)):
                pass


async def test_a_call_with_wrong_arguments_is_not_asked_about() -> None:
    till = Till()
    answers = Reply(calls=(Call("send_refund", "{}"),)), Reply(text="Sorry.")
    async with FakeModel(*answers) as model, agent_on(model, till.tool(approval="always")) as agent:
        recorder = await ask(agent)
        assert recorder.calls[0].status == "failed"
        assert "order" in (recorder.calls[0].error or "")


async def test_a_tool_that_is_allowed_in_the_thread_does_not_ask() -> None:
    till = Till()
    async with (
        FakeModel(Reply(calls=(REFUND,)), Reply(text="Done.")) as model,
        agent_on(model, till.tool(approval="always")) as agent,
    ):
        recorded: list[list[ToolCall]] = []

        async def record(calls: Any) -> None:
            recorded.append(list(calls))

        recorder = await ask(agent, allowed_tools=frozenset({"send_refund"}), record_calls=record)
        assert till.paid == ["A1"]
        assert [call.status for call in recorder.calls] == ["completed"]
        assert [[call.status for call in calls] for calls in recorded] == [["unknown"]]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_approved_call_runs_once_and_the_model_goes_on(stream: bool) -> None:
    till = Till()
    call = an_open_call().approved(Decider("ann", utcnow()))
    async with FakeModel(Reply(text="Paid.")) as model, agent_on(model, till.tool(approval="always")) as agent:
        recorder = await ask(agent, stream, paused=[paused(call, content="One moment.")], approved=frozenset({call.id}))
        assert till.paid == ["A1"]
        assert till.keys == ["key_9"]
        assert recorder.events[0] == ("started", ("call_9", "send_refund", {"order": "A1"}))
        assert recorder.calls[0].result == {"paid": "A1"}
        assert recorder.content == "Paid."
        said = model.requests[0]["messages"][1:]
        assert [message["role"] for message in said] == ["user", "assistant", "tool"]
        assert said[1]["content"] == "One moment."
        assert said[2] == {"role": "tool", "tool_call_id": "call_9", "content": '{"paid":"A1"}'}


async def test_a_later_attempt_does_not_run_what_was_approved_before() -> None:
    till = Till()
    call = an_open_call().approved(Decider("ann", utcnow()))
    async with FakeModel(Reply(text="I do not know.")) as model, agent_on(model, till.tool(approval="always")) as agent:
        await ask(agent, paused=[paused(call)])
        assert till.paid == []
        assert "not known" in model.requests[0]["messages"][-1]["content"]


async def test_the_model_is_told_of_a_refusal_and_why() -> None:
    call = an_open_call().refused(Decider("ann", utcnow(), "too expensive"))
    till = Till()
    async with FakeModel(Reply(text="All right.")) as model, agent_on(model, till.tool(approval="always")) as agent:
        await ask(agent, paused=[paused(call)])
        assert model.requests[0]["messages"][-1]["content"] == f'{{"error":"{REFUSED}: too expensive"}}'
        assert till.paid == []


async def test_a_tool_of_the_clients_is_offered_and_waits_for_its_result() -> None:
    described: Mapping[str, JsonValue] = {
        "name": "read_clipboard",
        "description": "Read it.",
        "parameters": {"type": "object", "properties": {"format": {"type": "string"}}},
    }
    async with FakeModel(Reply(calls=(Call("read_clipboard", '{"format": "text"}'),))) as model, agent_on(model) as agent:
        recorder = await ask(agent, tools=[described])
        assert [(call.status, call.awaits, call.arguments) for call in recorder.calls] == [
            ("open", "result", {"format": "text"})
        ]
        offered = [each["function"] for each in model.requests[0]["tools"]]
        assert offered[-1] == described
        assert [each["name"] for each in offered[:-1]] == ["calculate", "get_tide"]


async def test_a_tool_knows_who_asks_and_tells_how_far_it_is() -> None:
    seen: list[ToolContext] = []

    @tool(title={"en": "Count"})
    def count(context: ToolContext) -> int:
        """Count."""
        seen.append(context)
        context.progress("1 of 2")
        return 2

    message = QUESTION.model_copy(update={"metadata": {"desk": "7"}})
    async with (
        FakeModel(Reply(calls=(Call("count", "{}"),)), Reply(text="2")) as model,
        agent_on(model, bind_context(count)) as agent,
    ):
        recorder = Recorder()
        await agent.run(a_request(message, locale="de-ch"), observer=recorder, stream=False)
        assert model.requests[0]["tools"][0]["function"]["parameters"]["properties"] == {}
        [context] = seen
        assert (context.owner, context.locale, context.metadata) == (Owner("t", "ann"), "de-ch", {"desk": "7"})
        assert (context.thread_id, context.message_id, context.turn_id) == (message.thread_id, message.id, message.turn_id)
        assert ("progress", (context.call_id, "1 of 2")) in recorder.events
        before = len(recorder.events)
        context.progress("too late")
        await asyncio.sleep(0)
        assert len(recorder.events) == before


async def test_what_was_approved_is_not_made_once_others_may_have_been_told_so() -> None:
    till = Till()
    call = an_open_call().approved(Decider("ann", utcnow()))
    async with FakeModel(Reply(text="Sorry.")) as model, agent_on(model, till.tool(approval="always")) as agent:
        asked: dict[str, Any] = {"paused": [paused(call)], "approved": frozenset({call.id}), "holds_lease": lambda: False}
        recorder = await ask(agent, **asked)
        assert (recorder.calls[0].status, till.paid) == ("failed", [])


@pytest.mark.parametrize("id", ["x" * 257, "a\u0000b", "a\nb"])
async def test_a_call_whose_id_nobody_could_send_back_gets_another(id: str) -> None:
    till = Till()
    call = Call("send_refund", '{"order": "A1"}', id)
    async with FakeModel(Reply(calls=(call,))) as model, agent_on(model, till.tool(approval="always")) as agent:
        [asked] = (await ask(agent)).calls
        assert asked.status == "open"
        assert asked.id.startswith("call_")


async def test_a_tool_of_the_clients_that_is_called_as_one_of_ours_by_now_is_not_offered() -> None:
    mine: Mapping[str, JsonValue] = {"name": "calculate", "description": "Mine.", "parameters": {"type": "object"}}
    answers = Reply(calls=(Call("calculate", '{"expression": "2 + 2"}'),)), Reply(text="Hm.")
    async with FakeModel(*answers) as model, agent_on(model) as agent:
        recorder = await ask(agent, tools=[mine])
        assert (recorder.content, [call.status for call in recorder.calls]) == ("Hm.", ["completed"])
        assert len(model.requests[0]["tools"]) == 2
