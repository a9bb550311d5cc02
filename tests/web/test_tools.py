"""Tool calls on the page: shown as the tools say of themselves."""

from __future__ import annotations

import pytest
from playwright.async_api import Route, expect

from tests.support.parcels import open_parcels
from tests.web.conftest import OpenChat


async def test_a_new_tool_is_shown_with_its_label_and_its_result(open_chat: OpenChat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.registry.open_tools", open_parcels)
    chat = await open_chat()
    await chat.send("Where is P7?")
    summary = chat.page.locator(".tool summary")
    await expect(summary.locator(".figure")).to_have_text("2 days")
    await expect(summary.locator(".place")).to_have_text("Oslo (long)")
    await expect(summary.locator(".more")).to_have_text("Number P7")


async def test_calls_are_shown_without_what_the_tools_say(open_chat: OpenChat) -> None:
    chat = await open_chat()

    async def fail(route: Route) -> None:
        await route.fulfill(status=503, body="")

    await chat.page.route("**/api/tools", fail)
    await chat.send("What is 2 + 2?")
    await expect(chat.page.locator(".tool summary .glance")).to_contain_text("calculate")
    await expect(chat.page.locator(".assistant .prose")).to_contain_text("4")
