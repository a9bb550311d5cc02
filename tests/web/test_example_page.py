"""The page of ``examples/``, from an origin of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Browser, expect
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles

from identity.api_keys import make_key
from settings import Settings
from tests.fakes.model import FakeModel, Reply
from tests.fakes.relay import Relay
from tests.support.server import serve, serve_api

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY, ENTRY = make_key("page", "contoso", ["chat"], None)


async def test_a_page_of_another_origin_chats_over_a_network_that_breaks(browser: Browser, tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(120))
    broken = asyncio.Event()
    pieces = 0

    async def wait() -> None:
        nonlocal pieces
        pieces += 1
        if pieces > 60:
            await broken.wait()

    files = Starlette()
    files.mount("/", StaticFiles(directory=EXAMPLES))
    async with serve(files) as origin, FakeModel(Reply(text=words, wait_for_piece=wait)) as model:
        settings = Settings(
            data_dir=tmp_path,
            openai_base_url=f"{model.url}/v1",
            openai_model="m",
            api_keys=(ENTRY,),
            cors_origins=(origin,),
        )
        async with serve_api(settings) as api, Relay(str(api.base_url), broken, 3000, 100) as network:
            page = await browser.new_page()
            await page.goto(f"{origin}/page.html?api={network.url}")
            await page.get_by_label("API key").fill(KEY)
            await page.get_by_label("Message").fill("hi")
            await page.get_by_role("button", name="Send").click()
            await expect(page.get_by_role("listitem")).to_have_text(["hi", words])
            assert network.cut == 2
            await page.close()
