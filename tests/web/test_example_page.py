"""The page of ``examples/``, from an origin of its own."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Browser, expect
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles

from identity.api_keys import make_key
from tests.support.broken_stream import WORDS, breaking_network
from tests.support.server import serve

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY, ENTRY = make_key("page", "contoso", ["chat"], None)


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
