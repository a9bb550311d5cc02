"""A message that is tried again after its turns have failed: what acts is done once, whatever became of it before."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.agent import ChatAgent
from errors import ToolError
from stores.sqlite.store import SqliteStore
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.agent import agent_on
from tests.support.refunds import REFUND, Till
from tests.support.scripted_turns import OWNER, events_of, messages_of, start, turns_of

ASK = Reply(calls=(REFUND,))
# The model's service refuses what it is sent, and the turn fails.
FAIL = Reply(status=400)
NO_MONEY = ToolError("no money")


async def attempt(path: Path, agent: ChatAgent, *failures: ToolError | None, till: Till) -> list[str]:
    """Send one message as often as there are ``failures``; return what is known of its calls that act, in the end."""
    async with SqliteStore(path) as store:
        thread = await store.create_thread(OWNER, title=None, metadata={})
        for failure in failures:
            till.failure = failure
            turn = await start(turns_of(store, agent), thread, "Refund A1", key="k")
            await events_of(turn)
        [message, *_] = await messages_of(store, thread)
        return [call.status for call in message.tool_calls]


@pytest.mark.parametrize("attempts", [2, 3, 4])
async def test_a_call_that_failed_and_was_made_then_is_not_made_again(path: Path, attempts: int) -> None:
    till = Till()
    async with FakeModel(*[ASK, FAIL] * attempts) as model, agent_on(model, till.tool(acts=True)) as agent:
        statuses = await attempt(path, agent, NO_MONEY, *[None] * (attempts - 1), till=till)
        assert till.paid == ["A1"]
        assert len(set(till.keys)) == 1
        assert statuses == ["completed"]


async def test_a_call_that_fails_again_and_again_is_kept_once(path: Path) -> None:
    till = Till()
    async with FakeModel(*[ASK, FAIL] * 3) as model, agent_on(model, till.tool(acts=True)) as agent:
        assert await attempt(path, agent, NO_MONEY, NO_MONEY, NO_MONEY, till=till) == ["failed"]
        assert len(till.keys) == 3


async def test_a_call_that_the_model_has_repeated_after_it_failed_is_not_made_again(path: Path) -> None:
    """Each of the two has a key of its own; the next attempt asks for one of them, which must be that which has acted."""
    till = Till(NO_MONEY)

    async def earn() -> None:
        till.failure = None

    again = Reply(calls=(Call(REFUND.name, REFUND.arguments, "call_2"),), wait=earn)
    async with FakeModel(ASK, again, FAIL, ASK, FAIL) as model, agent_on(model, till.tool(acts=True)) as agent:
        assert await attempt(path, agent, NO_MONEY, None, till=till) == ["failed", "completed"]
        assert till.paid == ["A1"]


async def test_a_call_whose_result_was_too_large_is_not_made_again(path: Path) -> None:
    till = Till(result="x" * 66_000)
    async with FakeModel(ASK, FAIL, ASK, Reply(text="Done.")) as model, agent_on(model, till.tool(acts=True)) as agent:
        assert await attempt(path, agent, None, None, till=till) == ["unknown"]
        assert till.paid == ["A1"]
