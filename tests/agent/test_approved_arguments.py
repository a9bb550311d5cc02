"""What was approved is what a tool gets: as it was shown, however it was kept meanwhile."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from calls import Decider, ToolCall
from models import utcnow
from tests.fakes.cosmos_data import as_doubles
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import Recorder, a_request, agent_on
from tests.support.refunds import QUESTION, Till, an_open_call, ask, paused
from tools.tool import Preference, tool


class Order(BaseModel):
    amount: float


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        (Annotated[int, AfterValidator(lambda euros: euros * 100)], "5"),
        (int, str(2**53 + 1)),
        (float | None, "Infinity"),
        (Order, '{"amount": NaN}'),
    ],
    ids=["validated twice", "no double", "infinite", "no number"],
)
async def test_nobody_is_asked_about_arguments_that_the_tool_would_not_get(kind: Any, argument: str) -> None:
    paid: list[Any] = []

    def pay(cents: Any) -> None:
        """Pay."""
        paid.append(cents)

    pay.__annotations__["cents"] = kind
    asks = tool(title={"en": "Pay"}, approval="always")(pay)
    answers = Reply(calls=(Call("pay", f'{{"cents": {argument}}}'),)), Reply(text="Sorry.")
    async with FakeModel(*answers) as model, agent_on(model, asks) as agent:
        [call] = (await ask(agent)).calls
        assert (call.status, call.awaits, paid) == ("failed", None, [])
        assert "nobody is asked" in model.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        (set[str], '["b", "a", "c"]'),
        (Decimal, '"0.10"'),
        (datetime, '"2026-01-02T03:04:05Z"'),
        (list[Order], '[{"amount": 1}, {"amount": 1.5}]'),
        (list[list[float]], "[[2], [1.5], [1]]"),
    ],
)
async def test_what_is_approved_is_what_the_tool_would_have_got(kind: Any, argument: str) -> None:
    got: list[Any] = []

    def pay(cents: Any) -> None:
        """Pay."""
        got.append(cents)

    pay.__annotations__["cents"] = kind
    answer = Reply(calls=(Call("pay", f'{{"cents": {argument}}}'),))
    for approval in ("never", "always"):
        acts = tool(title={"en": "Pay"}, approval=approval)(pay)
        async with FakeModel(answer, Reply(text="Paid.")) as model, agent_on(model, acts) as agent:
            [call] = (await ask(agent)).calls
            if approval == "always":
                stored = ToolCall.model_validate(as_doubles(call.model_dump(mode="json"))).approved(Decider("ann", utcnow()))
                await ask(agent, paused=[paused(stored)], approved=frozenset({call.id}))
    assert len(got) == 2
    assert got[0] == got[1]


@pytest.mark.parametrize("changed", [{"order": "A1", "more": 1}, {"number": 1}, {}])
async def test_what_was_approved_for_a_tool_that_takes_something_else_by_now_is_not_made(changed: dict[str, Any]) -> None:
    till = Till()
    call = an_open_call().approved(Decider("ann", utcnow())).model_copy(update={"arguments": changed})
    async with FakeModel(Reply(text="Sorry.")) as model, agent_on(model, till.tool(approval="always")) as agent:
        recorder = await ask(agent, paused=[paused(call)], approved=frozenset({call.id}))
        assert (recorder.calls[0].status, till.paid) == ("failed", [])
        assert "not made" in (recorder.calls[0].error or "")


KILOS = Preference(parameter="units", values={"kg": {"en": "Kilos."}}, help={"en": "**/units kg**."})


async def test_what_the_caller_prefers_is_approved_as_the_tool_gets_it() -> None:
    got: list[str] = []

    @tool(title={"en": "Weigh"}, approval="always", preferences=(KILOS,))
    def weigh(units: Annotated[str, AfterValidator(str.lower)]) -> None:
        """Weigh it."""
        got.append(units)

    message = QUESTION.model_copy(update={"metadata": {"units": "KG"}})
    async with FakeModel(Reply(calls=(Call("weigh", "{}"),)), Reply(text="Hm.")) as model, agent_on(model, weigh) as agent:
        recorder = Recorder()
        await agent.run(a_request(message), observer=recorder, stream=False)
        [call] = recorder.calls
        assert (call.status, call.arguments) == ("open", {"units": "kg"})
        approved = call.approved(Decider("ann", utcnow()))
        await ask(agent, paused=[paused(approved)], approved=frozenset({call.id}))
        assert got == ["kg"]
