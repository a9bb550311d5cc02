"""Messages that wait for their thread, or take the place of the turn that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from stores.sqlite.store import SqliteStore
from tests.fakes.model import FakeModel, Reply
from tests.support.api import ASYNC, QUESTION, api_with, in_background
from tests.support.calls import watch
from tests.support.events import all_events
from tests.support.steps import Steps


async def contents(api: httpx2.AsyncClient, path: str) -> list[str]:
    messages: list[dict[str, Any]] = (await api.get(path)).json()["messages"]
    return [message["content"] for message in messages if message["role"] == "user"]


async def test_a_message_that_waited_says_so(tmp_path: Path) -> None:
    gate = Steps()
    async with (
        FakeModel(Reply(text="first", wait=gate), Reply(text="later")) as model,
        api_with(model, tmp_path) as (api, path),
    ):
        await in_background(api, path)
        waiting = asyncio.create_task(api.post(path, json={"content": "later"}, headers={"Prefer": "wait=20"}))
        refused = await api.post(path, json=QUESTION)
        assert (refused.status_code, refused.json()["type"]) == (409, "turn_in_progress")
        gate.step(99)
        answer = await waiting
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=20")


async def test_a_message_that_need_not_wait_does_not_say_that_it_did(tmp_path: Path) -> None:
    async with FakeModel(Reply(text="Hi.")) as model, api_with(model, tmp_path) as (api, path):
        answer = await api.post(path, json=QUESTION, headers={"Prefer": "wait=5"})
        assert answer.status_code == 200
        assert "preference-applied" not in answer.headers


async def test_a_thread_that_stays_busy_is_told_when_time_is_up(tmp_path: Path) -> None:
    gate = Steps()
    async with FakeModel(Reply(text="first", wait=gate)) as model, api_with(model, tmp_path) as (api, path):
        await in_background(api, path)
        answer = await api.post(path, json=QUESTION, headers={"Prefer": "wait=1"})
        assert (answer.status_code, answer.json()["type"]) == (409, "turn_in_progress")
        assert len(await contents(api, path)) == 1
        gate.step(99)


async def test_who_leaves_while_waiting_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, begun = Steps(), watch(monkeypatch, SqliteStore, "begin_turn")
    async with (
        FakeModel(Reply(text="first", wait=gate), Reply(text="later")) as model,
        api_with(model, tmp_path) as (api, path),
    ):
        first = await in_background(api, path)
        with pytest.raises(httpx2.ReadTimeout):
            await api.post(path, json={"content": "gone"}, headers={"Prefer": "wait=30"}, timeout=0.3)
        attempts = len(begun.outcomes)
        behind = asyncio.create_task(api.post(path, json={"content": "stays"}, headers={"Prefer": "wait=30"}))
        await begun.at_least(attempts + 1)
        gate.step(99)
        await all_events(api, f"{first}/events")
        assert (await behind).status_code == 200
        assert (await contents(api, path))[1:] == ["stays"]


async def test_a_message_that_interrupts_takes_the_turns_place(tmp_path: Path) -> None:
    steps = Steps()
    replies = Reply(text="one two three", wait_for_piece=steps), Reply(text="Better.")
    async with FakeModel(*replies) as model, api_with(model, tmp_path) as (api, path):
        running = await in_background(api, path)
        steps.step()
        answer = await api.post(path, json={"content": "No, this.", "interrupt": True}, headers=ASYNC)
        assert answer.status_code == 202
        turn = answer.json()
        assert turn["cancelled_turn_id"] == running.rpartition("/")[2]
        events = await all_events(api, f"{answer.headers['location']}/events")
        assert events[0]["cancelled_turn_id"] == turn["cancelled_turn_id"]
        assert events[-1]["message"]["content"] == "Better."
        cancelled = (await api.get(running)).json()
        assert (cancelled["status"], cancelled["message"]["status"]) == ("cancelled", "cancelled")
        assert (await api.get(answer.headers["location"])).json()["cancelled_turn_id"] == turn["cancelled_turn_id"]
        steps.step(99)


async def test_an_interruption_of_nothing_is_a_message(tmp_path: Path) -> None:
    async with FakeModel(Reply(text="Hi.")) as model, api_with(model, tmp_path) as (api, path):
        answer = await api.post(path, json={**QUESTION, "interrupt": True})
        assert (answer.status_code, answer.json()["content"]) == (200, "Hi.")
