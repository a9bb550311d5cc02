"""Turns that pause, and what goes on with them, over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from models import utcnow
from tests.fakes.model import Call, Reply
from tests.support.api import ASYNC, QUESTION
from tests.support.asking import YES, asking
from tests.support.events import all_events

TIP = Call("calculate", '{"expression": "85 * 0.15"}')
TIDE = Call("get_tide", '{"place": "Seattle"}', "call_2")
NO = {"approvals": [{"call_id": "call_1", "approved": False, "reason": "too much"}]}


async def test_a_turn_pauses_and_another_one_goes_on(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(text="Let me see.", calls=(TIP, TIDE)), Reply(text="$12.75.")) as (client, model):
        paused = await client.ask()
        assert (paused["status"], paused["content"]) == ("paused", "Let me see.")
        waiting, sibling = paused["tool_calls"]
        assert (waiting["status"], waiting["awaits"], waiting["arguments"]) == ("open", "approval", {"expression": "85 * 0.15"})
        assert waiting.keys() & {"result", "error"} == set()
        assert sibling["status"] == "completed"
        assert (await client.get())["open_turn_id"] == paused["turn_id"]
        assert [each["status"] for each in await client.history()] == ["paused", "paused"]

        answer = (await client.go_on(paused["turn_id"])).json()
        assert (answer["status"], answer["content"], answer["tool_calls"]) == ("completed", "$12.75.", [])
        assert answer["turn_id"] != paused["turn_id"]
        question, asked, answered = await client.history()
        assert [each["status"] for each in (question, asked, answered)] == ["completed", "paused", "completed"]
        [made, _] = asked["tool_calls"]
        assert (made["status"], made["result"], made["decided_by"]) == ("completed", 12.75, "local")
        assert made["decided_at"]
        assert answered == answer
        assert "open_turn_id" not in await client.get()
        turn = await client.get(f"/turns/{paused['turn_id']}")
        assert (turn["status"], turn["continued_by"]) == ("paused", answer["turn_id"])
        assert [each["role"] for each in model.requests[1]["messages"][1:]] == ["user", "assistant", "tool", "tool"]


async def test_a_stream_ends_with_the_pause_and_the_next_one_runs_the_tool_first(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(text="$12.75.")) as (client, _):
        events = await client.events("/messages", QUESTION)
        assert [event["type"] for event in events] == ["turn.started", "approval.requested", "turn.paused"]
        assert (events[1]["call_id"], events[1]["tool"]) == ("call_1", "calculate")
        assert events[1]["expires_at"] == events[2]["message"]["tool_calls"][0]["expires_at"]
        turn_id = events[0]["turn_id"]
        assert await all_events(client.api, f"{client.thread}/turns/{turn_id}/events") == events
        going_on = await client.events(f"/turns/{turn_id}/continue", YES)
        assert [event["type"] for event in going_on] == [
            "turn.started",
            "tool.started",
            "tool.completed",
            "message.delta",
            "message.completed",
        ]


async def test_a_refusal_is_told_to_the_model_and_kept(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(text="As you like.")) as (client, model):
        paused = await client.ask()
        await client.go_on(paused["turn_id"], NO)
        [call] = (await client.history())[1]["tool_calls"]
        assert (call["status"], call["reason"]) == ("refused", "too much")
        assert "too much" in model.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("decisions", "field"),
    [
        ({}, "body.approvals"),
        ({"approvals": []}, "body.approvals"),
        ({"approvals": [{"call_id": "call_2", "approved": True}]}, "body.approvals.0.call_id"),
        ({"tool_results": [{"call_id": "call_1", "result": 1}]}, "body.tool_results.0.call_id"),
        ({"approvals": YES["approvals"] * 2}, "body.approvals"),
        ({"approvals": [{"call_id": "call_1", "approved": "yes"}]}, "body.approvals.0.approved"),
        ({"approvals": [{"call_id": "call_1"}]}, "body.approvals.0.approved"),
        ({"tool_results": [{"call_id": "call_1", "result": 1, "error": "no"}]}, "body.tool_results.0"),
        ({"tool_results": [{"call_id": "call_1"}]}, "body.tool_results.0"),
        ({"tool_results": [{"call_id": "call_1", "result": "x" * 70_000}]}, "body.tool_results.0.result"),
    ],
)
async def test_decisions_that_are_none_are_refused_by_their_field(tmp_path: Path, decisions: Any, field: str) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(text="$12.75.")) as (client, _):
        paused = await client.ask()
        refused = await client.go_on(paused["turn_id"], decisions)
        assert refused.status_code == 422
        assert field in [each["field"] for each in refused.json()["errors"]]
        assert (await client.go_on(paused["turn_id"])).status_code == 200


async def test_of_two_answers_one_is_first(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(text="$12.75.")) as (client, model):
        paused = await client.ask()
        answers = await asyncio.gather(*(client.go_on(paused["turn_id"]) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        assert {answer.json()["type"] for answer in answers if answer.status_code == 409} == {"turn_continued"}
        assert (await client.go_on(paused["turn_id"])).json()["type"] == "turn_continued"
        assert len(model.requests) == 2


async def test_a_repeated_answer_with_its_key_gets_the_reply(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(text="$12.75.")) as (client, model):
        paused = await client.ask()
        first = await client.go_on(paused["turn_id"], **{"Idempotency-Key": "k"})
        again = await client.go_on(paused["turn_id"], **{"Idempotency-Key": "k"})
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"
        other = await client.go_on(paused["turn_id"], NO, **{"Idempotency-Key": "k"})
        assert (other.status_code, other.json()["type"]) == (422, "idempotency_key_reused")
        assert len(model.requests) == 2


async def test_in_which_order_a_repeated_answer_decides_is_all_one(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP, replace(TIP, id="call_2"))), Reply(text="$12.75.")) as (client, _):
        paused = await client.ask()
        verdicts = [{"call_id": f"call_{number}", "approved": True} for number in (1, 2)]
        answers = [
            await client.go_on(paused["turn_id"], {"approvals": said}, **{"Idempotency-Key": "k"})
            for said in (verdicts, verdicts[::-1])
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json() == answers[1].json()


async def test_an_answer_whose_turn_failed_is_tried_again_with_its_key_and_the_tool_is_not(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(status=400), Reply(text="$12.75.")) as (client, model):
        paused = await client.ask()
        failed = await client.go_on(paused["turn_id"], **{"Idempotency-Key": "k"})
        assert failed.status_code >= 500
        [call] = (await client.history())[1]["tool_calls"]
        assert (call["status"], call["result"]) == ("completed", 12.75)
        events = await client.events(f"/turns/{paused['turn_id']}/continue", YES, **{"Idempotency-Key": "k"})
        assert [event["type"] for event in events] == ["turn.started", "message.delta", "message.completed"]
        assert model.requests[2]["messages"][-1]["content"] == "12.75"


async def test_a_new_message_refuses_what_is_open(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(text="Fine.")) as (client, model):
        paused = await client.ask()
        await client.ask(content="Never mind.")
        question, asked, *_ = await client.history()
        assert (question["status"], asked["status"]) == ("cancelled", "cancelled")
        [call] = asked["tool_calls"]
        assert (call["status"], call["reason"], call["decided_by"]) == ("refused", "the user went on", "local")
        assert (await client.get(f"/turns/{paused['turn_id']}"))["status"] == "cancelled"
        assert "open_turn_id" not in await client.get()
        late = await client.go_on(paused["turn_id"])
        assert (late.status_code, late.json()["type"]) == (409, "turn_ended")
        assert "refused" in str(model.requests[1]["messages"])


async def test_cancelling_a_paused_turn_refuses_what_is_open(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,))) as (client, _):
        paused = await client.ask()
        path = f"{client.thread}/turns/{paused['turn_id']}/cancel"
        cancelled = await client.api.post(path)
        assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
        assert cancelled.json()["message"]["tool_calls"][0]["status"] == "refused"
        assert (await client.api.post(path)).json()["type"] == "turn_ended"


async def test_threads_that_wait_for_somebody_are_listed(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,))) as (client, _):
        await client.api.post("/api/threads", json={})
        await client.ask()
        for wanted, count in (("true", 1), ("false", 1)):
            found = (await client.api.get("/api/threads", params={"open": wanted})).json()["threads"]
            assert len(found) == count
            assert ("open_turn_id" in found[0]) == (wanted == "true")


async def test_a_tool_that_is_remembered_does_not_ask_again_until_that_is_taken_back(tmp_path: Path) -> None:
    again = (Reply(calls=(TIP,)), Reply(text="$12.75."))
    async with asking(tmp_path, *again, *again, *again) as (client, _):
        paused = await client.ask()
        remember = {"approvals": [{"call_id": "call_1", "approved": True, "remember": "thread"}]}
        assert (await client.go_on(paused["turn_id"], remember)).status_code == 200
        assert [each["tool"] for each in (await client.get("/approvals"))["approvals"]] == ["calculate"]
        assert (await client.ask())["status"] == "completed"
        assert (await client.api.delete(f"{client.thread}/approvals")).status_code == 204
        assert await client.get("/approvals") == {"approvals": []}
        assert (await client.ask())["status"] == "paused"


async def test_simple_callers_are_told_what_is_open(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(text="Hm.", calls=(TIP,))) as (client, _):
        answer = (await client.api.post("/api/invoke", json={"user_input": "tip?"})).json()
        assert (answer["status"], answer["final_answer"]) == ("paused", "Hm.")
        assert [call["id"] for call in answer["open_calls"]] == ["call_1"]
        stream = (await client.api.post("/api/stream", json={"user_input": "tip?"})).text
        assert "event: paused" in stream
        assert '"call_id"' not in stream
        [result] = (await client.api.post("/api/batch", json={"questions": ["tip?"]})).json()["results"]
        assert (result["status"], result["open_calls"][0]["tool"]) == ("paused", "calculate")


async def test_going_on_in_the_background(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(text="$12.75.")) as (client, _):
        paused = await client.ask()
        accepted = await client.go_on(paused["turn_id"], **ASYNC)
        assert accepted.status_code == 202
        events = await all_events(client.api, f"{accepted.headers['location']}/events")
        assert events[-1]["message"]["content"] == "$12.75."


async def test_what_is_not_paused_cannot_be_gone_on_with(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(text="Hi.")) as (client, _):
        answer = await client.ask()
        assert (await client.go_on(answer["turn_id"])).json()["type"] == "turn_ended"
        assert (await client.go_on("turn_" + "0" * 32)).json()["type"] == "turn_not_found"


async def test_an_approved_tool_runs_once_though_the_model_is_asked_again_with_less(tmp_path: Path) -> None:
    too_long = Reply(
        status=400, error={"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
    )
    replies = Reply(text="Hello. " * 50), Reply(calls=(TIP,)), too_long, Reply(text="$12.75.")
    async with asking(tmp_path, *replies) as (client, model):
        await client.ask(content="Hello")
        paused = await client.ask()
        events = await client.events(f"/turns/{paused['turn_id']}/continue", YES)
        assert [event["type"] for event in events][:3] == ["turn.started", "tool.started", "tool.completed"]
        assert [event["type"] for event in events].count("tool.started") == 1
        assert model.requests[3]["messages"][-1]["content"] == "12.75"


async def test_what_was_found_before_the_pause_can_be_cited_after_it(tmp_path: Path) -> None:
    search = Call("search_knowledge_base", '{"query": "berths"}', "call_2")
    async with asking(tmp_path, Reply(calls=(TIP, search)), Reply(text="See [1].")) as (client, _):
        paused = await client.ask()
        answer = (await client.go_on(paused["turn_id"])).json()
        [found] = [call["result"] for call in paused["tool_calls"] if call["tool"] == "search_knowledge_base"]
        assert [(each["index"], each["id"]) for each in answer["citations"]] == [(1, found[0]["id"])]


async def test_what_is_cited_is_named_once_though_the_model_is_asked_again_with_less(tmp_path: Path) -> None:
    search = Call("search_knowledge_base", '{"query": "berths"}', "call_2")
    too_long = Reply(status=400, error={"message": "long", "type": "x", "code": "context_length_exceeded"})
    replies = Reply(text="Hello. " * 50), Reply(calls=(TIP, search)), too_long, Reply(text="See [1].")
    async with asking(tmp_path, *replies) as (client, _):
        await client.ask(content="Hello")
        answer = (await client.go_on((await client.ask())["turn_id"])).json()
        assert [each["index"] for each in answer["citations"]] == [1]


async def test_after_its_time_a_call_can_only_be_refused(tmp_path: Path) -> None:
    async with asking(tmp_path, Reply(calls=(TIP,)), Reply(text="All right."), approval_ttl_seconds=60) as (client, model):
        paused = await client.ask()
        with time_machine.travel(utcnow() + timedelta(seconds=61), tick=True):
            late = await client.go_on(paused["turn_id"])
            assert (late.status_code, late.json()["type"]) == (409, "approval_expired")
            assert len(model.requests) == 1
            assert (await client.get())["open_turn_id"] == paused["turn_id"]
            assert (await client.go_on(paused["turn_id"], NO)).json()["content"] == "All right."
