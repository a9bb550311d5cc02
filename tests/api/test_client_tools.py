"""Tools of the caller's own: offered, called, and answered by the caller."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from models import utcnow
from tests.fakes.model import Call, Reply
from tests.support.api import QUESTION
from tests.support.asking import asking

CLIPBOARD = {"name": "read_clipboard", "description": "Read it.", "parameters": {"type": "object", "properties": {}}}


async def test_a_tool_of_the_clients(tmp_path: Path) -> None:
    replies = (
        Reply(calls=(Call("read_clipboard", "{}"),)),
        Reply(calls=(Call("read_clipboard", "{}", "call_3"),)),
        Reply(text="Hi."),
    )
    async with asking(tmp_path, *replies) as (client, model):
        events = await client.events("/messages", {**QUESTION, "tools": [CLIPBOARD]})
        assert [event["type"] for event in events] == ["turn.started", "tool.requested", "turn.paused"]
        first = {"tool_results": [{"call_id": "call_1", "result": {"text": "hello"}}]}
        again = (await client.go_on(events[0]["turn_id"], first)).json()
        assert again["status"] == "paused"
        assert "read_clipboard" in [each["function"]["name"] for each in model.requests[1]["tools"]]
        assert model.requests[1]["messages"][-1]["content"] == '{"text":"hello"}'
        last = (await client.go_on(again["turn_id"], {"tool_results": [{"call_id": "call_3", "error": "empty"}]})).json()
        assert (last["status"], last["content"]) == ("completed", "Hi.")
        assert [message["status"] for message in await client.history()] == ["completed", "paused", "paused", "completed"]
        assert [each["role"] for each in model.requests[2]["messages"][1:]] == [
            "user",
            "assistant",
            "tool",
            "assistant",
            "tool",
        ]
        await client.ask()
        later = [each["role"] for each in model.requests[3]["messages"][1:]]
        assert later == ["user", "assistant", "tool", "assistant", "tool", "assistant", "user"]


@pytest.mark.parametrize(
    ("tools", "field"),
    [
        ([{**CLIPBOARD, "name": "calculate"}], "body.tools.0.name"),
        ([{**CLIPBOARD, "name": "no spaces"}], "body.tools.0.name"),
        ([CLIPBOARD, CLIPBOARD], "body.tools"),
        ([{**CLIPBOARD, "parameters": {"type": "string"}}], "body.tools.0.parameters"),
        ([{**CLIPBOARD, "parameters": {"properties": []}}], "body.tools.0.parameters"),
        ([{**CLIPBOARD, "parameters": {"required": "x"}}], "body.tools.0.parameters"),
        ([{**CLIPBOARD, "description": "x" * 2001}], "body.tools.0.description"),
        ([{**CLIPBOARD, "name": f"tool_{number}"} for number in range(33)], "body.tools"),
    ],
)
async def test_tools_that_cannot_be_offered_are_refused(tmp_path: Path, tools: Any, field: str) -> None:
    async with asking(tmp_path, Reply(text="Hi.")) as (client, _):
        refused = await client.api.post(f"{client.thread}/messages", json={**QUESTION, "tools": tools})
        assert refused.status_code == 422
        assert [each["field"] for each in refused.json()["errors"]] == [field]


async def test_after_its_time_a_result_is_not_taken_but_an_error_is(tmp_path: Path) -> None:
    replies = Reply(calls=(Call("read_clipboard", "{}"),)), Reply(text="All right.")
    async with asking(tmp_path, *replies, approval_ttl_seconds=60) as (client, _):
        paused = await client.ask(tools=[CLIPBOARD])
        with time_machine.travel(utcnow() + timedelta(seconds=61), tick=True):
            late = await client.go_on(paused["turn_id"], {"tool_results": [{"call_id": "call_1", "result": 1}]})
            assert (late.status_code, late.json()["type"]) == (409, "approval_expired")
            gone = await client.go_on(paused["turn_id"], {"tool_results": [{"call_id": "call_1", "error": "too late"}]})
            assert gone.json()["content"] == "All right."
