"""The page with an assistant whose calculator asks before it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Locator, expect

from tests.fakes.model import Call, FakeModel, Reply
from tests.web.conftest import Chat, OpenChat

TIP = Call("calculate", '{"expression": "85 * 0.15"}')
SUM = Call("calculate", '{"expression": "2 + 2"}', "call_2")
QUESTION = "What is a 15% tip?"
YES = {"approvals": [{"call_id": "call_1", "approved": True}]}


def cards(chat: Chat, name: str = "Allow Calculation?") -> Locator:
    return chat.page.get_by_role("group", name=name)


def allow(chat: Chat) -> Locator:
    return cards(chat).get_by_role("button", name="Allow", exact=True)


def answer(chat: Chat) -> Locator:
    """The text of the last answer."""
    return chat.page.locator(".assistant .prose").last


async def history(chat: Chat) -> list[dict[str, Any]]:
    thread = chat.thread_id
    found: list[dict[str, Any]] = (await chat.api("GET", f"threads/{thread}/messages"))["messages"]
    return found


async def decide_elsewhere(chat: Chat, decisions: Any = YES) -> None:
    """Decide about the thread's paused turn without the page."""
    paused = next(message for message in await history(chat) if message["status"] == "paused")
    await chat.api("POST", f"threads/{chat.thread_id}/turns/{paused['turn_id']}/continue", decisions)


@asynccontextmanager
async def asking(open_chat: OpenChat, *replies: Reply, **options: Any) -> AsyncIterator[Chat]:
    """Open the page, and send a message for which the model calls what asks first."""
    async with FakeModel(*replies) as model:
        chat = await open_chat(model, settings={"approval_tools": ("calculate",)}, **options)
        await chat.send(QUESTION)
        await expect(cards(chat).first).to_be_visible()
        yield chat
