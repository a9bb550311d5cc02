"""A tool that acts, on the page: how far it is, also after a reload, and what is told if nobody knows whether it has acted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import expect

from tests.fakes.model import Call, FakeModel, Reply
from tests.web.asking import answer, cards, history
from tests.web.conftest import Chat, OpenChat
from tools.context import current_call
from tools.environment import ToolEnvironment
from tools.tool import tool

REFUND = Reply(calls=(Call("refund", '{"order": "A7"}'),))
Tools = Callable[[ToolEnvironment], AbstractAsyncContextManager[list[Callable[..., Any]]]]


def refunds(go: asyncio.Event, seconds: float) -> Tools:
    """Return what opens a tool that asks, tells how far it is, and ends after ``go``."""

    @tool(title={"en": "Refund"}, approval="always", acts=True, subject="{order}", timeout_seconds=seconds)
    async def refund(order: str) -> str:
        """Give the money back."""
        current_call.get().progress("3 of <b>10</b>")
        await go.wait()
        return f"{order} is paid back"

    @asynccontextmanager
    async def open_tools(_: ToolEnvironment) -> AsyncIterator[list[Callable[..., Any]]]:
        yield [refund]

    return open_tools


async def ask(open_chat: OpenChat, model: FakeModel) -> Chat:
    chat = await open_chat(model)
    await chat.send("Refund A7")
    await expect(cards(chat, "Allow Refund?")).to_be_visible()
    await chat.page.get_by_role("button", name="Allow", exact=True).click()
    return chat


async def test_progress_is_shown_at_the_call_also_after_a_reload(open_chat: OpenChat, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()
    monkeypatch.setattr("tools.registry.open_tools", refunds(go, 60))
    async with FakeModel(REFUND, Reply(text="It is paid back.")) as model:
        chat = await ask(open_chat, model)
        line = chat.page.locator(".tool")
        for _ in range(2):
            await expect(line.locator("summary")).to_contain_text("3 of <b>10</b>")
            await expect(line).to_have_count(1)
            await expect(line).to_have_class("tool running")
            await expect(cards(chat, "Allow Refund?")).to_have_count(0)
            await chat.page.reload()
        go.set()
        await expect(answer(chat)).to_contain_text("It is paid back.")
        await expect(line).to_have_class("tool")
        await expect(line).not_to_contain_text("3 of")
        assert [call["status"] for call in (await history(chat))[1]["tool_calls"]] == ["completed"]


async def test_nobody_knows_what_became_of_a_call_that_took_too_long(
    open_chat: OpenChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.registry.open_tools", refunds(asyncio.Event(), 0.2))
    async with FakeModel(REFUND, Reply(text="I cannot tell.")) as model:
        chat = await ask(open_chat, model)
        await expect(answer(chat)).to_contain_text("I cannot tell.")
        for _ in range(2):
            await expect(chat.page.locator(".tool.unknown summary")).to_contain_text("Outcome not known")
            await expect(chat.page.locator(".tool.failed")).to_have_count(0)
            await chat.page.reload()
        assert [call["status"] for call in (await history(chat))[1]["tool_calls"]] == ["unknown"]
