"""What the model is shown of a thread's past: by the kinds of failures before a message, and by the budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from pydantic_core import to_json
from typing_extensions import override

from agent.history import as_history
from agent.text import CUT_MARK
from calls import ToolCall
from models import Message, Owner, Problem, TurnStatus, message_id, new_id, utcnow
from quotas.backend import Counters, QuotaBackend
from quotas.quotas import Quotas
from settings import Settings
from stores.contract import ThreadStore
from stores.types import NewMessage
from tests.fakes.model import FakeModel, Reply
from tests.support.agent import agent_on
from turns.history import NOT_SHOWN, estimate_tokens, fit_history
from turns.service import Turns

OWNER = Owner("acme", "ann")
FILTERED = Reply(status=400, error={"message": "no", "type": "x", "code": "content_filter"})
OVERFLOW = Reply(status=400, error={"message": "no", "type": "x", "code": "context_length_exceeded"})
THREAD_ID = "thread_" + "0" * 32


class SmallModel(FakeModel):
    """Refuses prompts whose messages have more than ``size`` characters together."""

    def __init__(self, size: int) -> None:
        super().__init__(Reply(text="Fine."))
        self._size = size

    @override
    def reply_to(self, request: dict[str, Any]) -> Reply:
        sizes = [len(each["content"]) for each in request["messages"] if each["role"] != "system"]
        return OVERFLOW if sum(sizes) > self._size else super().reply_to(request)


class PickyModel(FakeModel):
    """Refuses every prompt with "dynamite" in it, wherever it stands; fails when it is asked "outage".

    Like strict chat templates, it takes no two messages of a user in a row.
    """

    def __init__(self, refusal: Reply) -> None:
        super().__init__(Reply(text="Fine."))
        self._refusal = refusal

    @override
    def reply_to(self, request: dict[str, Any]) -> Reply:
        messages = request["messages"]
        roles = [each["role"] for each in messages if each["role"] in ("user", "assistant")]
        if any(pair == ("user", "user") for pair in pairwise(roles)):
            return Reply(status=500)
        if "dynamite" in json.dumps(messages):
            return self._refusal
        if messages[-1]["content"] == "outage":
            return Reply(status=503, headers={"x-should-retry": "false"})
        return super().reply_to(request)

    @property
    def asked(self) -> list[str]:
        """What the last prompt has in the name of the user."""
        return [each["content"] for each in self.requests[-1]["messages"] if each["role"] == "user"]


@asynccontextmanager
async def turns_on(model: FakeModel, store: ThreadStore) -> AsyncIterator[Turns]:
    async with agent_on(model) as agent:

        async def get_agent() -> Any:
            return agent

        turns = Turns(store, get_agent, Quotas(Settings(), QuotaBackend(Counters.in_memory())), Settings())
        yield turns
        await turns.close(grace_seconds=5)


async def outcome(turns: Turns, thread_id: str, content: str, key: str | None = None, *, stream: bool = False) -> str:
    """Run a turn and return its final event's type, or its problem's."""
    log = await turns.start(OWNER, thread_id, NewMessage(new_id("turn"), content, {}, key), stream=stream)
    async with asyncio.timeout(20):
        events: list[Any] = [event async for batch in log.stream() for event in batch]
    return str(events[-1].problem.type if events[-1].type == "turn.failed" else events[-1].type)


@pytest.mark.parametrize(
    ("refusal", "problem"),
    [
        (FILTERED, "content_filtered"),
        (Reply(finish_reason="content_filter"), "content_filtered"),
        (OVERFLOW, "context_overflow"),
        (Reply(status=400), "model_misconfigured"),
    ],
)
async def test_a_refused_message_does_not_refuse_the_later_ones(store: ThreadStore, refusal: Reply, problem: str) -> None:
    """Audit H1."""
    thread = await store.create_thread(OWNER, title=None, metadata={})
    async with PickyModel(refusal) as model, turns_on(model, store) as turns:
        contents = ["hello", "dynamite", "dynamite!", "how are you?", "and now?"]
        ends = [await outcome(turns, thread.id, content) for content in contents]
        assert ends == ["message.completed", problem, problem, "message.completed", "message.completed"]
        assert model.asked == ["hello", "how are you?", "and now?"]


async def test_an_answer_that_the_filter_refuses_from_then_on_does_not_refuse_all_later_messages(store: ThreadStore) -> None:
    """Audit H1: nobody can take the answer back, so a few refusals in a row begin the conversation anew, for good."""
    thread = await store.create_thread(OWNER, title=None, metadata={})
    async with PickyModel(FILTERED) as model, turns_on(model, store) as turns:
        assert await outcome(turns, thread.id, "what is an explosive?") == "message.completed"
        model.replies = [Reply(text="Such as dynamite.")]
        assert await outcome(turns, thread.id, "which one?") == "message.completed"
        model.replies = [Reply(text="Fine.")]
        ends = [await outcome(turns, thread.id, content) for content in "abcdef"]
        assert ends == ["content_filtered"] * 3 + ["message.completed"] * 3
        assert model.asked == ["d", "e", "f"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_history_that_is_too_long_for_the_model_does_not_refuse_all_later_messages(
    store: ThreadStore, stream: bool
) -> None:
    """Audit H1: less of it is shown, down to nothing; a question that is too long by itself is refused."""
    thread = await store.create_thread(OWNER, title=None, metadata={})
    async with SmallModel(3000) as model, turns_on(model, store) as turns:
        contents = ["a" * 1000, "b" * 1000, "c" * 1000, "d" * 2999, "e" * 3001, "f"]
        ends = [await outcome(turns, thread.id, content, stream=stream) for content in contents]
        assert ends == ["message.completed"] * 4 + ["context_overflow", "message.completed"]
        assert len(model.requests) < 20


async def test_a_question_that_only_missed_its_answer_is_still_known(store: ThreadStore) -> None:
    """Audit H1: roles alternate although it has no answer, and "try again" can be understood."""
    thread = await store.create_thread(OWNER, title=None, metadata={})
    async with PickyModel(Reply(status=400)) as model, turns_on(model, store) as turns:
        ends = [await outcome(turns, thread.id, content) for content in ("hello", "outage", "outage", "try again", "thanks")]
        assert ends == ["message.completed", "model_unavailable", "model_unavailable", "message.completed", "message.completed"]
        assert model.asked == ["hello", "outage", "try again", "thanks"]


async def test_an_answer_to_a_retry_is_shown_behind_its_question(store: ThreadStore) -> None:
    """Audit H1: the answer stands behind a later exchange in the thread."""
    thread = await store.create_thread(OWNER, title=None, metadata={})
    async with PickyModel(Reply(status=400)) as model, turns_on(model, store) as turns:
        refused = await outcome(turns, thread.id, "dynamite", "key")
        assert (refused, await outcome(turns, thread.id, "hello")) == ("model_misconfigured", "message.completed")
    async with FakeModel(Reply(text="Boom.")) as brave, turns_on(brave, store) as turns:
        assert await outcome(turns, thread.id, "dynamite", "key") == "message.completed"
        assert await outcome(turns, thread.id, "thanks") == "message.completed"
        shown = [each["content"] for each in brave.requests[-1]["messages"][1:]]
        assert shown == ["hello", "Fine.", "dynamite", "Boom.", "thanks"]


def a_message(seq: int, content: str = "x" * 400, *, calls: list[ToolCall] | None = None, **fields: Any) -> Message:
    status: TurnStatus = "completed"
    shown: dict[str, Any] = {"status": status, "turn_id": f"turn_{(seq + 1) // 2}", **fields}
    return Message(
        id=message_id(THREAD_ID, seq),
        thread_id=THREAD_ID,
        seq=seq,
        role="user" if seq % 2 else "assistant",
        content=content,
        timestamp=utcnow(),
        tool_calls=calls or [],
        **shown,
    )


def a_call(size: int = 400) -> ToolCall:
    return ToolCall(id="c", tool="t", arguments={}, result="r" * size, duration_ms=1)


def tokens_of(messages: list[Message]) -> int:
    return sum(map(estimate_tokens, messages))


def test_the_window_fits_the_token_budget_and_begins_with_a_user() -> None:
    history = [a_message(seq) for seq in range(1, 9)]
    each = estimate_tokens(history[0])
    assert [m.seq for m in fit_history(history, each * 8)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [m.seq for m in fit_history(history, each * 2 + 20)] == [7, 8]
    assert [m.seq for m in fit_history(history[1:], each * 8)] == [3, 4, 5, 6, 7, 8]
    assert fit_history([], 100) == []
    assert fit_history(history, 0) == []


def test_a_tool_call_counts_with_its_result() -> None:
    assert estimate_tokens(a_message(2, calls=[a_call(), a_call()])) > estimate_tokens(a_message(2)) + 200


def test_a_question_before_any_answer_keeps_the_roles_in_turns() -> None:
    """Audit H1: an interrupted question, a cancelled one without a word, and one that was stopped after its tools."""
    problem = Problem(type="model_throttled", title="x", status=429, detail="x", retryable=True)
    history = [
        a_message(1, "interrupted", status="interrupted"),
        a_message(2),
        a_message(3, "stopped", status="cancelled"),
        a_message(4, "", status="cancelled"),
        a_message(5, "looked up", status="cancelled"),
        a_message(6, "", status="cancelled", calls=[a_call(5)]),
        a_message(7, "throttled", status="failed", problem=problem),
    ]
    roles = [each["role"] for each in as_history(fit_history(history, 1000))]
    exchange = ["user", "assistant"]
    assert roles == [*exchange, *exchange, "user", "assistant", "tool", "assistant", *exchange]


@pytest.mark.parametrize("budget", [70, 200, 1000, 4000])
@pytest.mark.parametrize("long", [a_message(3, "长" * 20_000), a_message(3, "x" * 60_000)])
def test_a_message_longer_than_the_budget_is_cut_and_takes_nothing_newer_away(long: Message, budget: int) -> None:
    """Audit M11."""
    history = [a_message(1), a_message(2), long, a_message(4, "Short."), a_message(5, "And?"), a_message(6, "So.")]
    shown = fit_history(history, budget)
    assert [each.seq for each in shown] == [3, 4, 5, 6]
    assert shown[0].content.endswith(CUT_MARK)
    assert shown[0].content.removesuffix(CUT_MARK)
    assert long.content.startswith(shown[0].content.removesuffix(CUT_MARK))
    assert [each.content for each in shown[1:]] == ["Short.", "And?", "So."]
    assert tokens_of(shown) <= budget


@pytest.mark.parametrize(
    "value",
    [
        "r" * 60_000,
        '"\\' * 20_000,
        [{"text": "長" * 10, "number": 123456789.123}] * 1000,
        {"text": "a" * 60_000, "more": 1},
        {str(number): -1.5e300 for number in range(5000)},
    ],
    ids=["text", "quotes", "list", "object", "numbers"],
)
def test_long_results_are_cut_to_valid_json_and_short_texts_stay(value: Any) -> None:
    """Audit M11: the cut is the beginning of what was there, and says so."""
    calls = [
        ToolCall(id="c1", tool="t", arguments={"q": "short"}, result=value, duration_ms=1),
        ToolCall(id="c2", tool="t", arguments={"q": value}, result=12.75, duration_ms=1),
        ToolCall(id="c3", tool="t", arguments={}, error="e" * 60_000, duration_ms=1),
    ]
    history = [a_message(1, "Question?"), a_message(2, "Answer.", calls=calls)]
    question, reply = fit_history(history, 1000)
    assert tokens_of([question, reply]) <= 1000
    assert tokens_of([question, reply]) > 800
    assert (question.content, reply.content) == ("Question?", "Answer.")
    first, second, third = reply.tool_calls
    assert (first.arguments, second.result) == ({"q": "short"}, 12.75)
    assert CUT_MARK in to_json(first.result).decode()
    assert CUT_MARK in to_json(second.arguments).decode()
    assert type(first.result) is type(value)
    assert third.error is not None
    assert third.error.endswith(CUT_MARK)
    if isinstance(value, list):
        assert isinstance(first.result, list)
        whole = [each for each in first.result[:-1] if each == value[0]]
        assert len(whole) >= len(first.result) - 2
    if isinstance(value, dict) and "1" in value:
        assert isinstance(first.result, dict)
        assert {each for key, each in first.result.items() if key != "…"} == {-1.5e300}


def test_an_exchange_with_too_many_results_to_cut_is_shown_without_them() -> None:
    """Audit M11."""
    history = [a_message(1, "Question?"), a_message(2, "Answer.", calls=[a_call()] * 100)]
    assert [(each.content, each.tool_calls) for each in fit_history(history, 500)] == [("Question?", []), ("Answer.", [])]


@pytest.mark.parametrize(
    ("value", "shown"), [(10**300, CUT_MARK), (json.loads("[" * 240 + '"x"' + "]" * 240), [CUT_MARK])], ids=["number", "depth"]
)
def test_a_result_that_has_no_beginning_is_only_marked(value: Any, shown: Any) -> None:
    """Audit M11: older releases have stored results nested that deeply."""
    call = ToolCall(id="c", tool="t", arguments={}, result=value, duration_ms=1)
    _, reply = fit_history([a_message(1, "Question?"), a_message(2, "Answer.", calls=[call])], 100)
    assert reply.tool_calls[0].result == shown


def test_an_answer_whose_question_lies_too_far_back_is_shown_alone() -> None:
    """Each pause is a message of its own."""
    paused = [a_message(2 * number, f"Round {number}", calls=[a_call(10)], status="paused") for number in range(2, 5)]
    shown = fit_history([*paused, a_message(10, "Answer.", turn_id="turn_last")], 10_000)
    assert [(each.role, each.content) for each in shown] == [
        ("user", NOT_SHOWN),
        *(("assistant", f"Round {number}") for number in range(2, 5)),
        ("assistant", "Answer."),
    ]
