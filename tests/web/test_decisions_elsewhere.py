"""What the page asks, where more happens than a click: other tabs, time, broken connections, failures, programs of others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import time_machine
from playwright.async_api import Route, expect

from models import utcnow
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.steps import Steps
from tests.web.asking import QUESTION, TIP, allow, answer, asking, cards, decide_elsewhere, history
from tests.web.conftest import Chat, OpenChat

ASKS = Reply(text="Let me see.", calls=(TIP,))
TOLD = Reply(text="It is $12.75.")
LOOK = {"name": "look", "description": "Look at the screen.", "parameters": {"type": "object", "properties": {}}}


async def test_another_tab_follows_what_was_decided_in_this_one(
    open_chat: OpenChat, second_tab: Callable[[Chat], Awaitable[Chat]]
) -> None:
    gate = Steps()
    async with asking(open_chat, ASKS, Reply(text="It is $12.75.", wait_for_piece=gate)) as chat:
        other = await second_tab(chat)
        await expect(cards(other)).to_have_count(1)
        await allow(chat).click()
        for tab in (chat, other):
            await expect(tab.page.locator(".tool .figure")).to_have_text("12.75")
            await expect(cards(tab)).to_have_count(0)
        gate.step(20)
        for tab in (chat, other):
            await expect(answer(tab)).to_contain_text("$12.75")
            await expect(tab.page.locator(".waits")).to_have_count(0)
        assert other.errors == []


async def test_a_call_whose_time_is_over_can_only_be_refused(open_chat: OpenChat) -> None:
    async with asking(open_chat, ASKS, Reply(text="As you like.")) as chat:
        with time_machine.travel(utcnow() + timedelta(days=2), tick=True):
            await allow(chat).click()
            await expect(cards(chat)).to_contain_text("The time to allow this is over.")
            await expect(allow(chat)).to_have_count(0)
            await cards(chat).get_by_role("button", name="Refuse").click()
            await chat.page.keyboard.press("Enter")
            await expect(answer(chat)).to_contain_text("As you like.")


async def test_time_runs_out_while_the_page_is_open(open_chat: OpenChat) -> None:
    async with FakeModel(ASKS) as model:
        chat = await open_chat(model, settings={"approval_tools": ("calculate",)})
        await chat.page.clock.install()
        await chat.send(QUESTION)
        await expect(allow(chat)).to_be_visible()
        await chat.page.clock.fast_forward("25:00:00")
        await expect(cards(chat)).to_contain_text("The time to allow this is over.")
        await expect(allow(chat)).to_have_count(0)


async def test_a_decision_whose_answer_got_lost_is_sent_again_with_its_key(open_chat: OpenChat) -> None:
    async with asking(open_chat, ASKS, TOLD) as chat:
        keys: list[str] = []

        async def lose(route: Route) -> None:
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) > 1:
                return await route.fallback()
            await route.fetch()
            return await route.abort()

        await chat.page.route("**/continue?reasoning=true", lose)
        await allow(chat).click()
        await expect(answer(chat)).to_contain_text("$12.75")
        assert len(keys) == 2
        assert len(set(keys)) == 1
        assert [message["status"] for message in await history(chat)] == ["completed", "paused", "completed"]


async def test_a_turn_that_failed_after_a_decision_is_tried_again(open_chat: OpenChat) -> None:
    async with asking(open_chat, ASKS, Reply(status=401), TOLD) as chat:
        await allow(chat).click()
        await expect(chat.page.locator(".notice")).to_contain_text("The model is not set up correctly")
        await expect(chat.page.locator(".tool .figure")).to_have_text("12.75")
        await expect(cards(chat)).to_have_count(0)
        await chat.retry()
        await expect(answer(chat)).to_contain_text("$12.75")
        await expect(chat.page.locator(".notice")).to_have_count(0)
        assert [message["status"] for message in await history(chat)] == ["completed", "paused", "completed"]


async def test_a_tool_of_another_program_can_be_refused(open_chat: OpenChat) -> None:
    async with FakeModel(Reply(calls=(Call("look", "{}"),)), Reply(text="I see nothing.")) as model:
        chat = await open_chat(model)
        thread = (await chat.api("POST", "threads", {}))["id"]
        await chat.api("POST", f"threads/{thread}/messages", {"content": "Look!", "tools": [LOOK]})
        await chat.page.goto(f"{chat.address}/#{thread}")
        await chat.page.reload()
        card = cards(chat, "look waits for another program")
        await expect(card.get_by_role("button")).to_have_text(["Refuse"])
        await card.get_by_role("button").click()
        await chat.page.keyboard.press("Enter")
        await expect(answer(chat)).to_contain_text("I see nothing.")
        assert (await history(chat))[1]["tool_calls"][0]["error"] == "not available here"


async def test_calls_are_told_apart_by_what_became_of_them(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(calls=(TIP,)), TOLD) as chat:
        await decide_elsewhere(chat)
        messages = await history(chat)
        [call] = messages[1]["tool_calls"]
        calls: list[dict[str, Any]] = []
        for status in ("failed", "refused", "unknown"):
            calls.append({**call, "id": status, "status": status, "error": f"said of {status}", "result": None})
        messages[1] |= {"tool_calls": calls}

        async def tell(route: Route) -> None:
            await route.fulfill(json={"messages": messages[::-1], "next_cursor": None})

        await chat.page.route("**/messages?*", tell)
        await chat.page.reload()
        lines = chat.page.locator(".tool")
        await expect(lines).to_have_count(3)
        kinds = await lines.evaluate_all("(all) => all.map((it) => [...it.classList].join(' '))")
        assert kinds == ["tool failed", "tool refused", "tool unknown"]
        for line, word in zip(await lines.all(), ("said of failed", "Refused", "Outcome not known"), strict=True):
            await expect(line.locator("summary")).to_contain_text(word)
