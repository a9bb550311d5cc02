"""A run that acts: at most once, however often its message is tried again."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest

from agent.text import CUT_MARK
from agent.tool_calls import jsonable_arguments
from calls import ToolCall
from errors import StoreUnavailable, ToolError
from models import utcnow
from tests.fakes.cosmos_data import as_doubles
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import Recorder, a_request, agent_on
from tests.support.refunds import QUESTION, REFUND, Till, ask
from tools.tool import tool

# The results of many calls, on their way to the model.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


async def test_what_acts_is_recorded_before_it_runs_and_not_run_where_that_fails() -> None:
    till = Till()

    async def refuse(calls: Any) -> None:
        assert till.paid == []
        raise StoreUnavailable

    async with FakeModel(Reply(calls=(REFUND,)), Reply(text="Sorry.")) as model, agent_on(model, till.tool(acts=True)) as agent:
        recorder = await ask(agent, record_calls=refuse)
        assert till.paid == []
        assert (recorder.calls[0].status, recorder.calls[0].error) == (
            "failed",
            "the call could not be recorded, so it was not made",
        )


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ToolError("no money"), "failed"),
        (RuntimeError("connection lost"), "unknown"),
        (SystemExit(1), "unknown"),
        (None, "completed"),
    ],
)
async def test_what_is_known_of_a_call_that_acts(failure: BaseException | None, status: str) -> None:
    till = Till(failure)
    async with FakeModel(Reply(calls=(REFUND,)), Reply(text="Hm.")) as model, agent_on(model, till.tool(acts=True)) as agent:
        recorder = await ask(agent)
        assert [call.status for call in recorder.calls] == [status]


async def test_a_call_that_acts_and_takes_too_long_is_unknown() -> None:
    @tool(title={"en": "Pay"}, acts=True)
    async def pay() -> None:
        """Pay."""
        await asyncio.Event().wait()

    async with (
        FakeModel(Reply(calls=(Call("pay", "{}"),)), Reply(text="Hm.")) as model,
        agent_on(model, pay, tool_timeout_seconds=0.05) as agent,
    ):
        recorder = await ask(agent)
        assert recorder.calls[0].status == "unknown"
        assert "took longer" in (recorder.calls[0].error or "")
        assert "not known" in model.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize("result", ["x" * 66_000, object(), [[]] * 30_000])
async def test_a_call_that_has_acted_and_whose_result_cannot_be_kept_is_unknown(result: Any) -> None:
    till = Till(result=result)
    async with FakeModel(Reply(calls=(REFUND,)), Reply(text="Hm.")) as model, agent_on(model, till.tool(acts=True)) as agent:
        [call] = (await ask(agent)).calls
        assert (call.status, call.key) == ("unknown", till.keys[0])
        assert "not known" in (call.error or "")


async def test_a_call_that_has_acted_and_for_whose_result_there_is_no_room_is_unknown() -> None:
    till = Till(result="x" * 60_000)
    calls = tuple(Call("send_refund", f'{{"order": "{number}"}}', f"call_{number}") for number in range(30))
    async with (
        FakeModel(Reply(calls=calls), Reply(text="Hm.")) as model,
        agent_on(model, till.tool(acts=True), max_tool_calls=30) as agent,
    ):
        made = (await ask(agent)).calls
        assert {call.status for call in made if call.key in till.keys} == {"completed", "unknown"}
        assert {call.key for call in made if call.status in ("completed", "unknown")} == set(till.keys)


async def test_what_earlier_attempts_have_done_takes_room_of_the_reply() -> None:
    """All of it is stored in one request, of which Cosmos DB takes 2 MB."""
    till = Till()
    made = [
        ToolCall(
            id=f"c{number}", tool="send_refund", arguments={"order": str(number)}, result="x" * 60_000, key=f"key_{number}"
        )
        for number in range(15)
    ]
    calls = tuple(Call("send_refund", f'{{"order": "{number}"}}', f"call_{number}") for number in range(15))
    message = QUESTION.model_copy(update={"tool_calls": made})
    async with (
        FakeModel(Reply(calls=calls), Reply(text="Done.")) as model,
        agent_on(model, till.tool(acts=True), max_tool_calls=15) as agent,
    ):
        recorder = Recorder()
        await agent.run(a_request(message), observer=recorder, stream=False)
        assert till.paid == []
        assert {call.status for call in recorder.calls} == {"completed", "unknown"}
        assert sum(len(call.model_dump_json()) for call in (*made, *recorder.calls)) < 1_500_000


@pytest.mark.parametrize("status", ["unknown", "completed"])
async def test_another_attempt_finds_what_the_first_has_done(status: Any) -> None:
    """The key is the call's: the same call of a retry is told what came of it, another one runs."""
    till = Till()
    answers = Reply(calls=(REFUND,)), Reply(text="Done.")
    other = Reply(calls=(Call("send_refund", '{"order": "B2"}'),)), Reply(text="Done.")
    async with FakeModel(*answers, *answers, *other) as model, agent_on(model, till.tool(acts=True)) as agent:
        [first] = (await ask(agent)).calls
        left = first.model_copy(update={"status": status, "id": "call_of_first"})
        message = QUESTION.model_copy(update={"tool_calls": [left]})
        again = Recorder()
        await agent.run(a_request(message), observer=again, stream=False)
        assert till.paid == ["A1"]
        assert [(call.status, call.result) for call in again.calls] == [(status, {"paid": "A1"})]
        assert model.requests[2]["messages"][-1]["role"] == "tool"
        await agent.run(a_request(message), observer=Recorder(), stream=False)
        assert till.paid == ["A1", "B2"]
        assert len(set(till.keys)) == 2


async def test_a_thread_that_was_made_anew_under_its_id_gives_calls_other_keys() -> None:
    """A payment service that knows idempotency would take the new payment for the old one."""
    till = Till()
    answers = Reply(calls=(REFUND,)), Reply(text="Done.")
    async with FakeModel(*answers, *answers) as model, agent_on(model, till.tool(acts=True)) as agent:
        for message in (QUESTION, QUESTION.model_copy(update={"timestamp": utcnow()})):
            await agent.run(a_request(message), observer=Recorder(), stream=False)
    assert len(set(till.keys)) == 2


async def test_what_no_json_holds_is_told_in_words() -> None:
    till = Till(result={"left": [math.inf, -math.inf, math.nan, 10**5000, "\ud800"]})
    async with FakeModel(Reply(calls=(REFUND,)), Reply(text="Hm.")) as model, agent_on(model, till.tool()) as agent:
        [call] = (await ask(agent)).calls
        assert call.result == {"left": ["Infinity", "-Infinity", "NaN", CUT_MARK, "\ufffd"]}
        assert json.loads(model.requests[1]["messages"][-1]["content"]) == call.result


@pytest.mark.parametrize(
    ("kind", "said"),
    [(float, "5"), (int, str(2**53 + 1)), (set[str], '["b", "a", "c"]'), (dict[str, float], '{"b": 1, "a": 2.5}')],
    ids=["a whole number", "no double", "a set", "an object"],
)
async def test_another_attempt_finds_what_was_done_as_the_store_gives_it_back(kind: Any, said: str) -> None:
    """Cosmos DB keeps numbers as doubles; a set has another order in each process."""
    paid: list[Any] = []

    def pay(what: Any) -> None:
        """Pay."""
        paid.append(what)

    pay.__annotations__["what"] = kind
    answers = Reply(calls=(Call("pay", f'{{"what": {said}}}'),)), Reply(text="Done.")
    async with FakeModel(*answers, *answers) as model, agent_on(model, tool(title={"en": "Pay"}, acts=True)(pay)) as agent:
        [call] = (await ask(agent)).calls
        stored = ToolCall.model_validate(as_doubles(call.model_dump(mode="json")))
        message = QUESTION.model_copy(update={"tool_calls": [stored]})
        await agent.run(a_request(message), observer=Recorder(), stream=False)
        assert len(paid) == 1


def test_sets_are_kept_in_an_order_that_all_processes_have() -> None:
    words = [f"word {number}" for number in range(50)]
    assert jsonable_arguments({"words": [set(words)], "more": frozenset(words)}) == {
        "words": [sorted(words)],
        "more": sorted(words),
    }
