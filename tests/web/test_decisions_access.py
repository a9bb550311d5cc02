"""What the page asks, for everybody: by keyboard, by ear, in any colours and on a phone; and shown as the text that it is."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.fakes.model import Call, Reply
from tests.support.accessibility import AXE, PHONE, findings
from tests.web.asking import SUM, TIP, allow, answer, asking, cards, history
from tests.web.conftest import OpenChat

HTML = "<img src=x onerror=alert(1)><b>7</b>"
HEARD = """
    globalThis.heard = [];
    const region = document.getElementById("announcer");
    new MutationObserver(() => region.textContent && heard.push(region.textContent)).observe(region, { childList: true });
"""


async def test_all_is_decided_by_keyboard(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(text="Let me see.", calls=(TIP, SUM)), Reply(text="Done.")) as chat:
        press = chat.page.keyboard.press
        await expect(cards(chat).first).to_be_focused()
        for _ in range(2):
            await press("Tab")
        await expect(allow(chat).first).to_be_focused()
        await press("Enter")
        await expect(cards(chat).last).to_be_focused()
        for _ in range(4):
            await press("Tab")
        await expect(cards(chat).last.get_by_role("button", name="Refuse")).to_be_focused()
        await press("Enter")
        await press("Escape")
        await expect(cards(chat).last.get_by_role("button", name="Refuse")).to_be_focused()
        await press("Enter")
        await press("Enter")
        await expect(chat.page.get_by_role("textbox", name="Your message")).to_be_focused()
        await expect(answer(chat)).to_contain_text("Done.")


async def test_an_enter_too_many_allows_nothing(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(calls=(TIP,)), Reply(text="Done.")) as chat:
        await expect(cards(chat)).to_be_focused()
        await chat.page.keyboard.press("Enter")
        await chat.page.keyboard.press(" ")
        await expect(allow(chat)).to_be_visible()
        assert [message["status"] for message in await history(chat)] == ["paused", "paused"]


async def test_who_writes_already_keeps_the_cursor(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(calls=(TIP,)), Reply(calls=(SUM,)), Reply(text="Done.")) as chat:
        box = chat.page.get_by_role("textbox", name="Your message")
        await box.fill("And then")
        await allow(chat).click()
        await expect(cards(chat)).to_contain_text("2 + 2")
        await expect(box).to_be_focused()
        await expect(box).to_have_value("And then")


async def test_a_pause_is_announced_once(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(text="Let me see.", calls=(TIP,)), Reply(calls=(SUM,)), Reply(text="Done.")) as chat:
        await chat.page.evaluate(HEARD)
        await allow(chat).click()
        await expect(cards(chat)).to_contain_text("2 + 2")
        await expect(chat.page.locator("#announcer")).to_have_text("The assistant asks before it goes on")
        assert [words for words in await chat.page.evaluate("heard") if "asks" in words] == [
            "The assistant asks before it goes on"
        ]
        waits = chat.page.get_by_role("navigation").get_by_role("link", name="waits for you")
        await expect(waits).to_have_count(1)


async def test_what_a_new_message_does_is_said_at_the_message_box(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(calls=(TIP,)), Reply(text="Fine.")) as chat:
        box, words = chat.page.get_by_role("textbox", name="Your message"), "A new message refuses what is asked above."
        await expect(chat.page.locator(".dock").get_by_text(words)).to_be_visible()
        await expect(box).to_have_accessible_description(f"{words} Enter sends the message, Shift and Enter start a new line.")
        await chat.page.get_by_role("button", name="New conversation").first.click()
        await expect(chat.page.get_by_text(words)).to_be_hidden()
        await chat.page.go_back()
        await expect(chat.page.get_by_text(words)).to_be_visible()
        await chat.send("Never mind.")
        await expect(chat.page.get_by_text(words)).to_be_hidden()


async def test_arguments_are_text_and_hide_nothing(open_chat: OpenChat) -> None:
    hostile = Call("calculate", '{"expression": "HTML \\u202e52\\u202c \\u200b\\n| é"}'.replace("HTML", HTML))
    async with asking(open_chat, Reply(calls=(hostile,))) as chat:
        await expect(cards(chat).locator("img, b")).to_have_count(0)
        shown = await cards(chat).locator("pre").inner_text()
        assert f"{HTML} \\u202e52\\u202c \\u200b\\n| é" in shown
        assert "\u202e" not in await cards(chat).inner_text()


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: `npm ci`")
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_axe_finds_nothing_serious(open_chat: OpenChat, colours: str, size: str) -> None:
    options = PHONE if size == "phone" else {}
    two = Reply(text="Let me see.", calls=(TIP, SUM))
    async with asking(open_chat, two, color_scheme=colours, reduced_motion="reduce", **options) as chat:
        assert await findings(chat.page) == []
        assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await cards(chat).first.get_by_role("button", name="Refuse").click()
        assert await findings(chat.page) == []
