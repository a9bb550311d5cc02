"""A conversation on the page: sending, watching the answer grow, stopping, coming back, trying again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from playwright.async_api import expect

from tests.fakes.model import FakeModel, Reply
from tests.support.steps import Steps
from tests.web.conftest import Chat, OpenChat

WORDS = "one **two** three four five six"


async def test_an_example_is_answered_with_its_tool_calls(open_chat: OpenChat) -> None:
    chat = await open_chat()
    page = chat.page
    await expect(page.locator("#model")).to_contain_text("Offline model")
    await page.get_by_role("button", name="What is the tide in Seattle").click()
    answer = page.locator(".message.assistant:not(.live)")
    await expect(answer).to_contain_text("85 * 0.15 = 12.75")
    tide, calculation = await answer.locator("summary").all()
    await expect(tide).to_contain_text("2.4 m")
    await expect(tide).to_contain_text("Seattle, United States")
    await expect(tide).to_contain_text("ms")
    await expect(calculation).to_contain_text("85 × 0.15=12.75")
    await expect(page.get_by_role("navigation").get_by_role("link")).to_have_text(
        "What is the tide in Seattle and what is a 15% tip on $85?"
    )
    await expect(page.locator("#empty")).to_be_hidden()

    await tide.click()
    await expect(answer.locator("details[open]")).to_contain_text('"place": "Seattle"')
    await expect(answer.locator("details[open]")).to_contain_text('"state": "rising"')


async def test_every_example_works_offline(open_chat: OpenChat) -> None:
    chat = await open_chat()
    page = chat.page
    for example, said in [("deposit back", "When you get your deposit back")]:
        await page.get_by_role("button", name=example).click()
        await expect(page.locator(".message.assistant:not(.live)")).to_contain_text(said)
        await page.locator("#new-chat").click()


async def test_an_answer_grows_as_it_comes(open_chat: OpenChat) -> None:
    gate = Steps()
    async with FakeModel(Reply(text=WORDS, wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await expect(chat.page.locator("#model")).to_contain_text("gpt-x")
        await chat.send("Count")
        prose = chat.page.locator(".assistant .prose")
        gate.step(4)
        await expect(prose).to_have_text("one two three")
        await expect(prose.locator("strong")).to_have_text("two")
        gate.step(2)
        await expect(prose).to_have_text("one two three four five")
        gate.step(10)
        await expect(prose).to_have_text("one two three four five six")
        await expect(chat.page.get_by_role("button", name="Stop")).to_be_hidden()


async def test_shift_enter_breaks_the_line_and_the_box_grows(open_chat: OpenChat) -> None:
    chat = await open_chat()
    box = chat.page.get_by_role("textbox", name="Your message")
    low = await box.evaluate("(box) => box.offsetHeight")
    await box.press_sequentially("Tell me")
    await chat.page.keyboard.press("Shift+Enter")
    await box.press_sequentially("a joke")
    assert await box.evaluate("(box) => box.offsetHeight") > low
    await chat.page.keyboard.press("Enter")
    await expect(chat.page.locator(".bubble")).to_have_text("Tell me\na joke")
    await expect(box).to_have_value("")


async def test_stop_keeps_what_was_said(open_chat: OpenChat) -> None:
    gate = Steps()
    async with FakeModel(Reply(text=WORDS, wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await chat.send("Count")
        gate.step(4)
        await expect(chat.page.locator(".assistant .prose")).to_have_text("one two three")
        await chat.page.get_by_role("button", name="Stop answering").click()
        await expect(chat.page.locator(".assistant .stopped")).to_have_text("Stopped")
        await expect(chat.page.locator(".assistant .prose")).to_have_text("one two three")
        history = await chat.api("GET", f"threads/{chat.thread_id}/messages")
        assert [message["status"] for message in history["messages"]][-1] == "cancelled"
        await expect(chat.page.get_by_role("button", name="Send")).to_be_visible()


async def test_a_reload_in_mid_answer_goes_on_where_it_was(open_chat: OpenChat) -> None:
    gate = Steps()
    async with FakeModel(Reply(text=WORDS, wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await chat.send("Count")
        gate.step(4)
        prose = chat.page.locator(".assistant .prose")
        await expect(prose).to_have_text("one two three")
        await chat.page.reload()
        await expect(prose).to_have_text("one two three")
        gate.step(10)
        await expect(prose).to_have_text("one two three four five six")
        await expect(chat.page.locator(".message")).to_have_count(2)
        assert len(model.requests) == 1


async def test_copy(open_chat: OpenChat) -> None:
    text = "Some **bold** text\n\n```\ncode\n```"
    async with FakeModel(Reply(text=text)) as model:
        chat = await open_chat(model, permissions=["clipboard-read", "clipboard-write"])
        await chat.send("Hello")
        for button, copied in {"the answer": text, "code": "code\n", "your message": "Hello"}.items():
            await chat.page.get_by_role("button", name=f"Copy {button}").click()
            await expect(chat.page.locator("#announcer")).to_have_text("Copied")
            assert await chat.page.evaluate("navigator.clipboard.readText()") == copied


async def test_earlier_messages_come_when_asked_for(open_chat: OpenChat) -> None:
    chat = await open_chat()
    thread = await chat.api("POST", "threads", {"title": "Long"})
    for number in range(25):
        await chat.api("POST", f"threads/{thread['id']}/messages", {"content": f"What is {number} + 1?"})
    await chat.page.goto(f"{chat.address}/#{thread['id']}")
    await expect(chat.page.locator(".message")).to_have_count(40)
    await expect(chat.page.locator(".message").last).to_be_in_viewport()
    await chat.page.get_by_role("button", name="Show earlier messages").click()
    await expect(chat.page.locator(".message")).to_have_count(50)
    await expect(chat.page.locator(".message").first).to_contain_text("What is 0 + 1?")
    await expect(chat.page.locator("#earlier")).to_be_hidden()
    await chat.send("What is 99 + 1?")
    await expect(chat.page.locator(".message")).to_have_count(52)
    await expect(chat.page.locator(".message").first).to_contain_text("What is 0 + 1?")


async def test_tabs_agree_on_a_turn(open_chat: OpenChat, second_tab: Callable[[Chat], Awaitable[Chat]]) -> None:
    gate = Steps()
    async with FakeModel(Reply(text="Hello"), Reply(text=WORDS, wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await chat.send("Hello")
        await expect(chat.page.locator(".assistant:not(.live) .prose")).to_have_text("Hello")
        other = await second_tab(chat)
        await expect(other.page.locator(".message")).to_have_count(2)
        await chat.send("Count")
        gate.step(4)
        await expect(other.page.locator(".bubble").last).to_have_text("Count")
        await expect(other.page.locator(".assistant .prose").last).to_have_text("one two three")
        gate.step(10)
        for tab in (chat, other):
            await expect(tab.page.locator(".assistant:not(.live) .prose").last).to_have_text("one two three four five six")
            await expect(tab.page.locator(".message")).to_have_count(4)
        assert other.errors == []


async def test_scrolling_up_stops_following(open_chat: OpenChat) -> None:
    gate = Steps()
    text = "\n\n".join(f"Paragraph {number}" for number in range(60))
    async with FakeModel(Reply(text=text, wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await chat.send("Write a lot")
        gate.step(50)
        await expect(chat.page.locator("p", has_text="Paragraph 47")).to_be_in_viewport()
        jump = chat.page.get_by_role("button", name="Jump to the latest message")
        await expect(jump).to_be_hidden()
        await chat.page.locator("#scroller").hover()
        await chat.page.mouse.wheel(0, -700)
        await expect(jump).to_be_visible()
        top = await chat.page.evaluate("document.getElementById('scroller').scrollTop")
        gate.step(50)
        await expect(chat.page.locator("p", has_text="Paragraph 59")).to_have_count(1)
        assert await chat.page.evaluate("document.getElementById('scroller').scrollTop") == top
        await jump.click()
        await expect(chat.page.locator("p", has_text="Paragraph 59")).to_be_in_viewport()
        await expect(jump).to_be_hidden()


async def test_events_are_parsed_however_they_are_cut(open_chat: OpenChat) -> None:
    chat = await open_chat()
    program = """async ([text, size]) => {
        const { EventParser } = await import("/web/sse.js");
        const parser = new EventParser();
        const found = [];
        for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
        return found;
    }"""
    events = ['id: 1\nevent: a\ndata: {"x": "é\\n"}', "data:two\ndata: lines", "event: no data", "id: 2\ndata", "data: cut off"]
    stream = "\n\n".join(["\ufeff: comment", *events])
    expected = [
        {"id": "1", "event": "a", "data": json.dumps({"x": "é\n"}, ensure_ascii=False)},
        {"id": "1", "event": "message", "data": "two\nlines"},
        {"id": "2", "event": "message", "data": ""},
    ]
    for end in ("\n", "\r\n", "\r"):
        for size in (1, 2, 3, 7, 1000):
            assert await chat.page.evaluate(program, [stream.replace("\n", end), size]) == expected, (end, size)
