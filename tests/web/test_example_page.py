"""The page of ``examples/``, from an origin of its own."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Dialog, expect
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles

from identity.api_keys import make_key
from settings import Settings
from tests.fakes.relay import Relay
from tests.support.broken_stream import WORDS, breaking_network
from tests.support.server import serve, serve_api

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY, ENTRY = make_key("page", "contoso", ["chat"], None)


@pytest.mark.parametrize(("allowed", "status"), [(True, "completed"), (False, "refused")])
async def test_a_page_of_another_origin_asks_before_a_tool_acts(
    browser: Browser, tmp_path: Path, allowed: bool, status: str
) -> None:
    files = Starlette()
    files.mount("/", StaticFiles(directory=EXAMPLES))
    asked: list[str] = []

    async def decide(dialog: Dialog) -> None:
        asked.append(dialog.message)
        await (dialog.accept() if allowed else dialog.dismiss())

    async with serve(files) as origin:
        settings = Settings(data_dir=tmp_path, cors_origins=(origin,), approval_tools=("calculate",))
        async with serve_api(settings) as api:
            page = await browser.new_page()
            page.on("dialog", decide)
            await page.goto(f"{origin}/page.html?api={str(api.base_url).rstrip('/')}")
            await page.get_by_label("Message").fill("What is 2 + 2?")
            await page.get_by_role("button", name="Send").click()
            await expect(page.get_by_role("listitem")).to_have_text(["What is 2 + 2?", re.compile("4" if allowed else r"\w")])
            await page.close()
            thread = (await api.get("/api/threads")).json()["threads"][0]["id"]
            history = (await api.get(f"/api/threads/{thread}/messages")).json()["messages"]
    assert asked == ['Allow calculate {"expression":"2 + 2"}?']
    assert [message["tool_calls"][0]["status"] for message in history[1:2]] == [status]


async def test_an_answer_that_was_there_before_its_first_event_is_shown(browser: Browser, tmp_path: Path) -> None:
    files = Starlette()
    files.mount("/", StaticFiles(directory=EXAMPLES))
    async with serve(files) as origin:
        settings = Settings(data_dir=tmp_path, cors_origins=(origin,))
        async with serve_api(settings) as api, Relay(str(api.base_url), asyncio.Event(), 1) as network:
            page = await browser.new_page()
            await page.goto(f"{origin}/page.html?api={network.url}")
            await page.get_by_label("Message").fill("What is 2 + 2?")
            await page.get_by_role("button", name="Send").click()
            await expect(page.get_by_role("listitem")).to_have_text(["What is 2 + 2?", "2 + 2 = 4"])
            assert network.cut == 1
            await page.close()


async def test_a_page_of_another_origin_chats_over_a_network_that_breaks(browser: Browser, tmp_path: Path) -> None:
    files = Starlette()
    files.mount("/", StaticFiles(directory=EXAMPLES))
    async with serve(files) as origin:
        signed_in = {"api_keys": (ENTRY,), "cors_origins": (origin,)}
        async with breaking_network(tmp_path, 3000, 100, **signed_in) as (_, network):
            page = await browser.new_page()
            await page.goto(f"{origin}/page.html?api={network.url}")
            await page.get_by_label("API key").fill(KEY)
            await page.get_by_label("Message").fill("hi")
            await page.get_by_role("button", name="Send").click()
            await expect(page.get_by_role("listitem")).to_have_text(["hi", WORDS])
            assert network.cut == 2
            await page.close()
