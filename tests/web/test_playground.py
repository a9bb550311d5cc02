"""The bot in Microsoft's Agents Playground, in a real browser.

The Playground is a program of its own (npm, development only) that has to be given a port, and it shows no Stop button:
stopping is tested against the channel in tests/teams.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from api.app import create_app
from settings import Settings
from teams.messages import ENGLISH
from tests.fakes.model import FakeModel, Reply
from tests.support.assistant_folder import HARBOUR
from tests.support.server import serve

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "node_modules/@microsoft/m365agentsplayground/cli.js"
pytestmark = pytest.mark.skipif(not PROGRAM.exists() or not shutil.which("node"), reason="npm ci installs the Playground")
# Where to look at what the browser saw.
SCREENSHOTS = os.environ.get("SCREENSHOTS")


class Playground:
    """A tab with the Playground, and the API beside it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._address = address

    async def say(self, text: str) -> None:
        await self.page.locator("[contenteditable=true]").first.click()
        await self.page.keyboard.type(text)
        await self.page.keyboard.press("Enter")

    async def mention_and_say(self, text: str) -> None:
        await self.page.locator("[contenteditable=true]").first.click()
        await self.page.keyboard.type("@")
        # Only a suggestion that was clicked becomes a mention.
        await self.page.get_by_label("Typeahead menu").get_by_text("Test Bot").click()
        await self.page.keyboard.type(f" {text}")
        await self.page.keyboard.press("Enter")

    async def get(self, path: str) -> Any:
        async with httpx2.AsyncClient(base_url=self._address) as client:
            return (await client.get(f"/api/{path}")).json()

    async def keep_screenshot(self, name: str) -> None:
        if SCREENSHOTS:
            await self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


OpenPlayground = Callable[..., Awaitable[Playground]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest_asyncio.fixture(loop_scope="session")
async def open_playground(browser: Browser, tmp_path: Path) -> AsyncIterator[OpenPlayground]:
    async with AsyncExitStack() as stack:

        async def open_playground(model: FakeModel | None = None) -> Playground:
            fields: dict[str, Any] = {"data_dir": tmp_path, "teams_local": True}
            if model:
                fields |= {"openai_base_url": f"{model.url}/v1", "openai_model": "gpt-x"}
            address = await stack.enter_async_context(serve(create_app(Settings(**fields))))
            port = free_port()
            options = ["-e", f"{address}/api/messages", "-c", "msteams", "-p", str(port), "--disable-telemetry"]
            process = await asyncio.create_subprocess_exec(
                "node",
                str(PROGRAM),
                *options,
                cwd=tmp_path,
                env={**os.environ, "BROWSER": "none"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            stack.push_async_callback(process.communicate)
            stack.callback(process.terminate)
            assert process.stdout
            while b"Listening" not in (line := await process.stdout.readline()):
                assert line, "the Playground has ended"
            page = await browser.new_page(viewport={"width": 1300, "height": 900})
            stack.push_async_callback(page.close)
            await page.goto(f"http://localhost:{port}", wait_until="domcontentloaded")
            await expect(page.get_by_text(HARBOUR.texts["en"].welcome).first).to_be_visible(timeout=60_000)
            return Playground(page, address)

        yield open_playground


async def test_an_answer_with_tools_sources_and_thumbs_and_a_new_conversation(open_playground: OpenPlayground) -> None:
    playground = await open_playground()
    page = playground.page
    await playground.say("Tide in Oslo, and what is a 15% tip on $85? How do I get my deposit back?")
    await expect(page.get_by_text("85 × 0.15")).to_be_visible()
    await expect(page.get_by_text("Oslo, Norway", exact=True)).to_be_visible()
    await expect(page.get_by_text("AI generated").first).to_be_visible()
    await playground.keep_screenshot("answer")
    thread_id = (await playground.get("threads"))["threads"][0]["id"]
    answer = (await playground.get(f"threads/{thread_id}/messages"))["messages"][-1]
    assert [call["tool"] for call in answer["tool_calls"]] == ["get_tide", "calculate", "search_knowledge_base"]
    assert [each["index"] for each in answer["citations"]] == [1, 2, 3]
    await page.get_by_label("Dislike").first.click()
    await playground.keep_screenshot("feedback")
    await page.get_by_role("textbox").last.fill("Wrong units")
    await page.get_by_role("button", name="Submit").click()
    await page.get_by_role("button", name="Close").last.click()
    feedback = (await playground.get(f"threads/{thread_id}/messages"))["messages"][-1]["feedback"]
    assert (feedback["rating"], feedback["comment"]) == ("down", "Wrong units")
    await playground.say("/new")
    await expect(page.get_by_text(ENGLISH["new"]).first).to_be_visible()
    await playground.say("Tell me a joke")
    await expect(page.get_by_text("expired").first).to_be_visible()
    await playground.keep_screenshot("new")
    assert len((await playground.get("threads"))["threads"]) == 2


async def test_a_group_chat(open_playground: OpenPlayground) -> None:
    playground = await open_playground()
    await playground.page.get_by_role("treeitem", name="Group Chat").click()
    await playground.mention_and_say("what is a 15% tip on $85?")
    await expect(playground.page.get_by_text("= 12.75", exact=True)).to_be_visible()
    await playground.keep_screenshot("group")
    assert (await playground.get("threads"))["threads"] == []


async def test_a_turn_that_fails(open_playground: OpenPlayground) -> None:
    error = {"message": "secret reason", "type": "x", "code": "content_filter"}
    async with FakeModel(Reply(status=400, error=error)) as model:
        playground = await open_playground(model)
        await playground.say("hi")
        await expect(playground.page.get_by_text("Ask in other words").first).to_be_visible()
        await playground.keep_screenshot("failed")
        await expect(playground.page.get_by_text("secret reason")).to_have_count(0)
