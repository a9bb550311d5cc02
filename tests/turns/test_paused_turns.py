"""Turns that pause and go on, run whole: what acts has acted once, what did not act says so, and the model can go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.agent import ChatAgent
from errors import ModelUnavailable
from models import Message, Owner, Problem, Thread
from stores.sqlite.store import SqliteStore
from stores.types import TurnProgress
from tests.fakes.agent import ScriptedAgent
from tests.fakes.model import Call, FakeModel, Reply
from tests.fakes.responses_model import FakeResponses, ThinkingReply
from tests.support.agent import agent_on, get_tide
from tests.support.refunds import REFUND, Till
from tests.support.scripted_turns import OWNER, messages_of, start, turns_of
from turns.decisions import Decisions, Verdict
from turns.intervals import TurnIntervals
from turns.service import Turns

ASK, FAIL, DONE = Reply(calls=(REFUND,)), Reply(status=400), Reply(text="Done.")
TIDE = Call("get_tide", '{"place": "Oslo"}', "a")
RESPONSES: dict[str, Any] = {"model_api": "responses"}


class PickyModel(FakeModel):
    """Refuses prompts that have a word in them."""

    def refusal_of(self, request: dict[str, Any]) -> dict[str, Any] | None:
        return {"message": "no", "type": "x", "code": None} if "dynamite" in str(request["messages"]) else None


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(path) as store:
        yield store


@pytest.fixture
async def thread(store: SqliteStore) -> Thread:
    return await store.create_thread(OWNER, title=None, metadata={})


@asynccontextmanager
async def asking(store: SqliteStore, model: FakeModel, till: Till, **settings: Any) -> AsyncIterator[tuple[Turns, ChatAgent]]:
    """Yield turns whose till asks before it pays."""
    async with model, agent_on(model, till.tool(approval="always"), get_tide, **settings) as agent:
        yield turns_of(store, agent), agent


async def say(turns: Turns, thread: Thread, text: str = "Refund A1", key: str | None = None) -> Message | Problem:
    return await (await start(turns, thread, text, key)).wait()


async def pause(turns: Turns, thread: Thread, text: str = "Refund A1", key: str | None = None) -> Message:
    reply = await say(turns, thread, text, key)
    assert isinstance(reply, Message)
    assert reply.status == "paused"
    return reply


async def allow(turns: Turns, paused: Message, key: str | None = None) -> Message | Problem:
    verdicts = [Verdict(call.id, approved=True) for call in paused.open_calls]
    more: dict[str, Any] = {"idempotency_key": key, "stream": False, "request_id": "r"}
    log = await turns.go_on(OWNER, paused.thread_id, paused.turn_id, Decisions(verdicts), decided_by="ann", **more)
    return await log.wait()


async def test_a_turn_that_somebody_has_asked_to_stop_does_not_wait_for_a_decision(store: SqliteStore, thread: Thread) -> None:
    async def cancel() -> None:
        [message] = await messages_of(store, thread)
        await store.request_cancel(OWNER, thread.id, message.turn_id)

    till = Till()
    async with asking(store, FakeModel(Reply(calls=(REFUND,), wait=cancel)), till) as (_, agent):
        # Nobody looks whether it is to stop before it would pause.
        reply = await say(turns_of(store, agent, TurnIntervals(cancel_poll=60)), thread)
    assert isinstance(reply, Message)
    assert (reply.status, [call.status for call in reply.tool_calls]) == ("cancelled", ["refused"])
    assert (await store.get_thread(OWNER, thread.id)).open_turn_id is None


async def test_what_was_approved_and_never_begun_has_not_acted(store: SqliteStore, thread: Thread) -> None:
    async def fail(_: object) -> None:
        raise ModelUnavailable

    till = Till()
    model = FakeModel(ASK, DONE)
    async with asking(store, model, till) as (turns, _):
        paused = await pause(turns, thread)
        assert isinstance(await allow(turns_of(store, ScriptedAgent(fail)), paused, "k"), Problem)
        [call] = (await messages_of(store, thread))[1].tool_calls
        assert (call.status, call.decided_by) == ("failed", "ann")
        assert "not made" in (call.error or "")
        again = await allow(turns, paused, "k")
        assert isinstance(again, Message)
        assert "not made" in model.requests[-1]["messages"][-1]["content"]
        assert till.paid == []


@pytest.mark.parametrize("length", [10, 210_000], ids=["kept", "too much to keep"])
@pytest.mark.parametrize(
    "calls",
    [((TIDE,), (REFUND,)), ((Call("no_such_tool", "{}", "a"), REFUND),), ((REFUND, TIDE),)],
    ids=["after another", "behind one that there is not", "beside another"],
)
async def test_a_model_that_thinks_gets_its_thoughts_back_with_what_was_approved(
    store: SqliteStore, thread: Thread, calls: tuple[tuple[Call, ...], ...], length: int
) -> None:
    """The service refuses a call that it has asked for unless what it has thought before comes back with it."""
    till, model = Till(), FakeResponses(*[ThinkingReply(calls=each, reasoning="x" * length) for each in calls], DONE)
    async with asking(store, model, till, **RESPONSES) as (turns, _):
        reply = await allow(turns, await pause(turns, thread))
        assert isinstance(reply, Message)
        assert (reply.content, till.paid) == ("Done.", ["A1"])
        kinds = [item.get("type") for item in model.requests[-1]["input"]]
        assert kinds.count("reasoning") == (len(calls) if length == 10 else 0)


async def test_a_model_that_thinks_is_asked_again_after_something_was_done(store: SqliteStore, thread: Thread) -> None:
    """What it has thought in an attempt that failed is gone; what was done then is not."""
    till = Till()
    model = FakeResponses(ThinkingReply(calls=(REFUND,), reasoning="Pay."), FAIL, DONE)
    async with model, agent_on(model, till.tool(acts=True), **RESPONSES) as agent:
        turns = turns_of(store, agent)
        assert isinstance(await say(turns, thread, key="k"), Problem)
        reply = await say(turns, thread, key="k")
        assert isinstance(reply, Message)
        assert (reply.content, till.paid) == ("Done.", ["A1"])


async def test_what_was_done_is_shown_under_the_question_that_asked_for_it(store: SqliteStore, thread: Thread) -> None:
    till = Till()
    model = FakeModel(FAIL, ASK, Reply(body=b"[]"), Reply(text="Hello."), DONE)
    async with asking(store, model, till) as (turns, _):
        assert isinstance(await say(turns, thread, "one", "k"), Problem)
        assert isinstance(await allow(turns, await pause(turns, thread, "two")), Problem)
        assert isinstance(await say(turns, thread, "one", "k"), Message)
        await say(turns, thread, "three")
        shown = [(each["role"], each["content"]) for each in model.requests[-1]["messages"][1:]]
        assert shown == [
            ("user", "two"),
            ("assistant", None),
            ("tool", '{"paid":"A1"}'),
            ("assistant", "(This message was not answered.)"),
            ("user", "one"),
            ("assistant", "Hello."),
            ("user", "three"),
        ]


async def test_a_question_that_paused_when_it_was_tried_again_keeps_what_was_done(store: SqliteStore, thread: Thread) -> None:
    till = Till()
    model = FakeModel(FAIL, Reply(status=400), ASK, Reply(text="Paid."), DONE)
    async with asking(store, model, till) as (turns, _):
        assert isinstance(await say(turns, thread, "one", "k"), Problem)
        assert isinstance(await say(turns, thread, "two"), Problem)
        assert isinstance(await allow(turns, await pause(turns, thread, "one", "k")), Message)
        await say(turns, thread, "three")
        shown = [(each["role"], each["content"]) for each in model.requests[-1]["messages"][1:]]
        assert shown[-5:] == [
            ("user", "one"),
            ("assistant", None),
            ("tool", '{"paid":"A1"}'),
            ("assistant", "Paid."),
            ("user", "three"),
        ]


async def test_a_paused_answer_whose_calls_are_not_shown_any_more_is_one_with_what_follows(
    store: SqliteStore, thread: Thread
) -> None:
    till = Till(result="x" * 3000)
    model = FakeModel(Reply(text="Let me see.", calls=(REFUND,)), Reply(text="Paid."), DONE)
    async with model, agent_on(model, till.tool(approval="always")) as agent:
        turns = turns_of(store, agent, history_max_tokens=100)
        await allow(turns, await pause(turns, thread))
        await say(turns, thread, "And now?")
    said = [(each["role"], each["content"]) for each in model.requests[-1]["messages"][1:]]
    assert said == [("user", "Refund A1"), ("assistant", "Let me see.\n\nPaid."), ("user", "And now?")]


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_paused_question_that_the_model_refuses_from_then_on_is_left_out(
    store: SqliteStore, thread: Thread, goes_on: bool
) -> None:
    """The service refuses a word anywhere in what it is shown, without a code that says so."""
    till = Till()
    ask_for = Reply(calls=(Call("send_refund", '{"order": "dynamite"}'),))
    async with asking(store, PickyModel(ask_for, DONE), till) as (turns, _):
        paused = await pause(turns, thread)
        if goes_on:
            assert isinstance(await allow(turns, paused), Problem)
        answers = [await say(turns, thread, "Hello") for _ in range(5)]
        kinds = [isinstance(each, Message) for each in answers]
        assert kinds == ([True] * 5 if goes_on else [False] * 3 + [True] * 2)


class StaleStore(SqliteStore):
    """Tells of turns once as they were while they ran, as a replica may that lags."""

    stale = False

    async def get_progress(self, owner: Owner, thread_id: str, turn_id: str, *, after: int | None) -> TurnProgress:
        progress = await super().get_progress(owner, thread_id, turn_id, after=after)
        if not self.stale:
            return progress
        self.stale = False
        return replace(progress, turn=progress.turn.model_copy(update={"status": "running", "message": None}))


async def test_a_decision_does_not_depend_on_what_a_replica_knows(path: Path) -> None:
    till = Till()
    async with StaleStore(path) as store, asking(store, FakeModel(ASK, DONE), till) as (turns, _):
        paused = await pause(turns, await store.create_thread(OWNER, title=None, metadata={}))
        store.stale = True
        assert isinstance(await allow(turns, paused), Message)
        assert till.paid == ["A1"]


async def test_who_is_to_be_told_of_a_reply_is_told_by_a_repeated_request_too(store: SqliteStore, thread: Thread) -> None:
    """The process that had the turn may have died before it told anybody."""
    told: list[str] = []

    async def tell(reply: Message) -> None:
        told.append(reply.content)

    async with asking(store, FakeModel(ASK, DONE), Till()) as (turns, _):
        paused = await pause(turns, thread)
        decisions = Decisions([Verdict(call.id, approved=True) for call in paused.open_calls])
        for _ in range(2):
            log = await turns.go_on(
                OWNER,
                thread.id,
                paused.turn_id,
                decisions,
                decided_by="ann",
                idempotency_key="k",
                stream=False,
                after=tell,
            )
            await log.wait()
        await turns.close(grace_seconds=5)
    assert told == ["Done.", "Done."]


async def test_nobody_waits_for_ever_for_a_turn_that_ends_in_no_way_that_can_be_stored(
    store: SqliteStore, thread: Thread
) -> None:
    class Odd(BaseException):
        pass

    async def leave(_: object) -> None:
        raise Odd

    outcome = await say(turns_of(store, ScriptedAgent(leave)), thread)
    assert isinstance(outcome, Problem)
    assert outcome.type == "internal_error"
