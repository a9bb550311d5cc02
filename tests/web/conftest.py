"""A real browser on the real server. Nothing here sleeps: the model's pieces are let through one by one."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from api.app import create_app
from settings import Settings
from tests.fakes.model import FakeModel
from tests.support.server import serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VIOLATIONS = """
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""

expect.set_options(timeout=15_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # One browser for all of them: its start takes longer than most of what they do with it.
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))


@dataclass
class Chat:
    """A tab with the chat page, and what went wrong in it."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)

    async def send(self, text: str) -> None:
        await self.page.get_by_role("textbox", name="Your message").fill(text)
        await self.page.keyboard.press("Enter")

    async def retry(self) -> None:
        """Try the last message again; the list of threads may have a button of that name too."""
        messages = self.page.get_by_role("list", name="Conversation", exact=True)
        await messages.get_by_role("button", name="Retry").click()

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API beside the page."""
        response = await self.page.request.fetch(f"{self.address}/api/{path}", method=method, data=body)
        assert response.ok, await response.text()
        return await response.json() if response.status != 204 else None

    @property
    def thread_id(self) -> str:
        return self.page.url.partition("#")[2]


class OpenChat(Protocol):
    def __call__(
        self, model: FakeModel | None = None, *, path: str = "/", settings: dict[str, Any] | None = None, **options: Any
    ) -> Awaitable[Chat]: ...


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_chat(browser: Browser, tmp_path: Path) -> AsyncIterator[OpenChat]:
    """Opens the page on a server of its own, with the offline model or a scripted one; checks at the end that no tab met an
    error or broke its policy."""
    chats: list[Chat] = []
    async with AsyncExitStack() as stack:

        async def open_chat(
            model: FakeModel | None = None, *, path: str = "/", settings: dict[str, Any] | None = None, **options: Any
        ) -> Chat:
            fields: dict[str, Any] = {"data_dir": tmp_path, **(settings or {})}
            if model:
                fields |= {"openai_base_url": f"{model.url}/v1", "openai_model": "gpt-x"}
            address = await stack.enter_async_context(serve(create_app(Settings(**fields))))
            context = await browser.new_context(**options)
            stack.push_async_callback(context.close)
            return await new_tab(context, address, path, chats)

        yield open_chat
        for chat in chats:
            assert chat.errors == []
            if not chat.page.is_closed():
                assert await chat.page.evaluate("violations") == []


@pytest.fixture
def second_tab() -> Callable[[Chat], Awaitable[Chat]]:
    """Opens the same conversation in another tab of the same browser."""

    async def second_tab(chat: Chat) -> Chat:
        return await new_tab(chat.page.context, chat.address, f"/#{chat.thread_id}", [])

    return second_tab


async def new_tab(context: BrowserContext, address: str, path: str, chats: list[Chat]) -> Chat:
    page = await context.new_page()
    chat = Chat(page, address)
    chats.append(chat)
    page.on("pageerror", lambda error: chat.errors.append(str(error)))
    page.on("dialog", lambda dialog: chat.errors.append(f"dialog: {dialog.message}"))
    await page.add_init_script(VIOLATIONS)
    await page.goto(f"{address}{path}")
    return chat
