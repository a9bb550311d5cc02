"""Another company's folder: nothing of another assistant is left, on the page, in the API, with the bot, in Teams."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

from playwright.async_api import expect

from settings import Settings
from tests.fakes import activities
from tests.fakes.connector import FakeClock, FakeConnector
from tests.fakes.model import FakeModel, Reply
from tests.support.bot import ask, serve_bot
from tests.support.server import serve_api
from tests.web.conftest import OpenChat

ROOT = Path(__file__).parents[2]
BANK = ROOT / "tests" / "support" / "bank"
OF_OTHERS = re.compile(r"northpeak|weather|wetter|\bshop\b|harbour|\btides?\b|seattle", re.I)
QUESTION = "Wie ist der Stand von Konto K12?"


def assert_of_the_bank(text: str) -> None:
    assert not OF_OTHERS.search(text), OF_OTHERS.findall(text)


async def test_the_page(open_chat: OpenChat) -> None:
    chat = await open_chat(settings={"assistant_dir": BANK}, locale="de-AT")
    page = chat.page
    await expect(page).to_have_title("Aldertal Berater")
    await expect(page.get_by_role("heading", name="Guten Tag. Worum geht es?")).to_be_visible()
    await expect(page.get_by_placeholder("Ihre Frage")).to_be_visible()
    assert await page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--brand').trim()") == "#5b2a86"
    for logo in await page.locator("img").all():
        assert await logo.evaluate("image => image.complete && image.naturalWidth > 0")
    assert_of_the_bank(await page.content())
    await page.get_by_role("button", name=QUESTION).click()
    answer = page.locator(".message.assistant:not(.live)")
    await expect(answer).to_contain_text("K12: 1.204,50 €")
    await answer.locator("summary").click()
    await expect(answer.locator("use").first).to_have_attribute("href", "#icon-konto")
    assert await page.evaluate("document.getElementById('icon-konto').childElementCount") == 2
    assert_of_the_bank(await page.content())


async def test_the_page_speaks_the_browsers_language_or_the_assistants(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, assistant_dir=BANK)) as api:
        for wanted, language in [("en-GB, de;q=0.5", "en"), ("fr, en;q=0.2", "en"), ("fr", "de"), ("", "de"), ("en;q=0", "de")]:
            page = await api.get("/", headers={"Accept-Language": wanted})
            assert (page.headers["content-language"], page.headers["vary"]) == (language, "Accept-Language"), wanted
            assert ("Good day" in page.text) == (language == "en")
            again = await api.get("/", headers={"Accept-Language": wanted, "If-None-Match": page.headers["etag"]})
            assert again.status_code == 304


async def test_the_api_and_what_the_model_is_told(tmp_path: Path) -> None:
    async with FakeModel(Reply(text="Guten Tag.")) as model:
        settings = Settings(data_dir=tmp_path, assistant_dir=BANK, openai_base_url=f"{model.url}/v1", openai_model="m")
        async with serve_api(settings) as api:
            document = await api.get("/api/openapi.json")
            assert document.json()["info"]["title"] == "Aldertal Berater API"
            tools = await api.get("/api/tools")
            assert [each["name"] for each in tools.json()["tools"]] == ["read_balance"]
            await api.post("/api/invoke", json={"user_input": "Guten Tag"})
            [asked] = model.requests
            assert asked["messages"][0]["content"].strip() == "Du bist der Berater der Bank Aldertal."
            for path in ("/", "/web/page.js", "/web/toolcalls.js", "/web/format.js", "/web/assistant.css", "/web/logo.svg"):
                assert_of_the_bank((await api.get(path)).text)
            for text in (document.text, tools.text, json.dumps(asked)):
                assert_of_the_bank(text)


async def test_the_offline_model_and_the_bot(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, assistant_dir=BANK, teams_local=True)
    async with FakeConnector(FakeClock(patience=0.05)) as channel, serve_bot(settings, channel) as api:
        added = activities.message(
            channel.url, type="conversationUpdate", text=None, membersAdded=[activities.BOT], locale="de-DE"
        )
        assert await ask(api, channel, added) == "Willkommen bei der Bank Aldertal."
        told = [await ask(api, channel, activities.message(channel.url, text)) for text in ("/help", "hello", "joke")]
        assert told[0].startswith("I answer questions about accounts.")
        assert "read balances" in told[1]
        assert_of_the_bank("\n".join(told))


async def test_the_teams_package(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "scripts.teams_package",
            activities.APP_ID,
            "chat.azurewebsites.net",
            str(tmp_path / "app.zip"),
        ),
        cwd=ROOT,
        env={**os.environ, "ASSISTANT_DIR": str(BANK)},
        stdout=asyncio.subprocess.PIPE,
    )
    await process.communicate()
    assert process.returncode == 0
    package = zipfile.ZipFile(io.BytesIO((tmp_path / "app.zip").read_bytes()))
    text = package.read("manifest.json").decode()
    manifest = json.loads(text)
    assert (manifest["name"]["short"], manifest["developer"]["name"]) == ("Aldertal Berater", "Bank Aldertal")
    assert manifest["developer"]["websiteUrl"] == "https://www.aldertal.example"
    assert_of_the_bank(text)


async def test_texts_are_text_on_the_page(tmp_path: Path) -> None:
    evil = '<img src=x onerror="window.hacked=1">'
    bank = await asyncio.to_thread(shutil.copytree, BANK, tmp_path / "bank")
    toml = (BANK / "assistant.toml").read_text().replace("Guten Tag. Worum geht es?", evil.replace('"', '\\"'))
    (bank / "assistant.toml").write_text(toml.replace("Aldertal Berater", "A & <b>B</b>"))
    async with serve_api(Settings(data_dir=tmp_path, assistant_dir=bank)) as api:
        page = (await api.get("/")).text
    assert "<img src=x" not in page
    assert "A &amp; &lt;b&gt;B&lt;/b&gt;" in page
