"""Below an answer on the page: thumbs with a comment, and the sources that the text cites."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from tests.fakes.model import Call, FakeModel, Reply
from tests.support.accessibility import AXE, PHONE, findings
from tests.support.steps import Steps
from tests.web.conftest import Chat, OpenChat

QUESTION = "How do I get my deposit back?"
IMAGE = "<img src=x onerror=\"window.hacked='image'\">"
SEARCH = Reply(calls=(Call("search_knowledge_base", json.dumps({"query": QUESTION})),))


async def answered(chat: Chat, question: str = QUESTION) -> Locator:
    await chat.send(question)
    answer = chat.page.locator(".message.assistant:not(.live)").last
    await expect(answer.get_by_role("group", name="Rate this answer")).to_be_visible()
    return answer


async def stored(chat: Chat) -> dict[str, Any] | None:
    history = await chat.api("GET", f"threads/{chat.thread_id}/messages")
    feedback: dict[str, Any] | None = history["messages"][-1].get("feedback")
    return feedback


async def assert_pressed(answer: Locator, *, good: bool = False, bad: bool = False) -> None:
    for name, pressed in (("Good answer", good), ("Bad answer", bad)):
        await expect(answer.get_by_role("button", name=name)).to_have_attribute("aria-pressed", str(pressed).lower())


# Feedback


async def test_a_thumb_is_stored_and_comes_back(open_chat: OpenChat) -> None:
    chat = await open_chat()
    answer = await answered(chat)
    await assert_pressed(answer)
    await answer.get_by_role("button", name="Good answer").click()
    await assert_pressed(answer, good=True)
    await expect(chat.page.locator("#announcer")).to_have_text("Rating saved")
    feedback = await stored(chat)
    assert feedback
    assert (feedback["rating"], feedback["comment"]) == ("up", None)
    await chat.page.reload()
    await assert_pressed(answer, good=True)
    await answer.get_by_role("button", name="Good answer").click()
    await assert_pressed(answer)
    await expect(chat.page.locator("#announcer")).to_have_text("Rating taken back")
    assert await stored(chat) is None


async def test_a_thumb_down_asks_why(open_chat: OpenChat) -> None:
    chat = await open_chat()
    answer = await answered(chat)
    await answer.get_by_role("button", name="Bad answer").click()
    box = answer.get_by_role("textbox", name="What was wrong?")
    await expect(box).to_be_focused()
    feedback = await stored(chat)
    assert feedback
    assert (feedback["rating"], feedback["comment"]) == ("down", None)
    await box.fill(f"  Wrong: {IMAGE} 日本\nToo long  ")
    await answer.get_by_role("button", name="Send").click()
    await expect(box).to_be_hidden()
    await expect(chat.page.locator(".toast")).to_contain_text("Your comment was saved")
    await expect(answer.get_by_role("button", name="Bad answer")).to_be_focused()
    feedback = await stored(chat)
    assert feedback
    assert feedback["comment"] == f"Wrong: {IMAGE} 日本\nToo long"
    await chat.page.reload()
    await assert_pressed(answer, bad=True)
    await expect(box).to_be_hidden()


async def test_feedback_by_keyboard(open_chat: OpenChat) -> None:
    chat = await open_chat()
    answer = await answered(chat)
    press = chat.page.keyboard.press
    good, bad = (answer.get_by_role("button", name=name) for name in ("Good answer", "Bad answer"))
    await good.focus()
    await press("Enter")
    await assert_pressed(answer, good=True)
    await press("Tab")
    await expect(bad).to_be_focused()
    await press("Space")
    await assert_pressed(answer, bad=True)
    box = answer.get_by_role("textbox", name="What was wrong?")
    await expect(box).to_be_focused()
    await press("Escape")
    await expect(box).to_be_hidden()
    await expect(bad).to_be_focused()
    await press("Enter")
    await assert_pressed(answer)
    await press("Enter")
    await expect(box).to_be_focused()
    await chat.page.keyboard.type("Because")
    await press("Control+Enter")
    await expect(box).to_be_hidden()
    feedback = await stored(chat)
    assert feedback
    assert feedback["comment"] == "Because"


async def test_a_rating_that_was_not_saved_is_not_shown(open_chat: OpenChat) -> None:
    chat = await open_chat()
    answer = await answered(chat)
    problem = {"type": "store_unavailable", "title": "The store is unavailable", "status": 503, "retryable": True}

    async def fail(route: Route) -> None:
        await route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem))

    await chat.page.route("**/feedback", fail)
    await answer.get_by_role("button", name="Bad answer").click()
    await expect(chat.page.locator(".toast").last).to_contain_text("cannot be reached right now")
    await assert_pressed(answer)
    await expect(answer.get_by_role("textbox")).to_be_hidden()
    await chat.page.unroute("**/feedback")

    await chat.page.context.set_offline(True)
    await answer.get_by_role("button", name="Good answer").click()
    await expect(chat.page.locator(".toast").last).to_contain_text("The server could not be reached")
    await assert_pressed(answer)
    await chat.page.context.set_offline(False)
    assert await stored(chat) is None


async def test_a_comment_that_was_not_saved_stays_in_its_box(open_chat: OpenChat) -> None:
    chat = await open_chat()
    answer = await answered(chat)
    await answer.get_by_role("button", name="Bad answer").click()
    box = answer.get_by_role("textbox", name="What was wrong?")
    await box.fill("Because")
    await chat.page.context.set_offline(True)
    await answer.get_by_role("button", name="Send").click()
    await expect(chat.page.locator(".toast").last).to_contain_text("not saved")
    await expect(box).to_have_value("Because")
    await expect(box).to_be_visible()
    await chat.page.context.set_offline(False)
    await answer.get_by_role("button", name="Send").click()
    await expect(box).to_be_hidden()
    assert (await stored(chat) or {})["comment"] == "Because"


async def test_tabs_agree_on_a_rating(open_chat: OpenChat, second_tab: Callable[[Chat], Awaitable[Chat]]) -> None:
    chat = await open_chat()
    answer = await answered(chat)
    other = await second_tab(chat)
    theirs = other.page.locator(".message.assistant:not(.live)")
    await assert_pressed(theirs)
    await answer.get_by_role("button", name="Good answer").click()
    await assert_pressed(theirs, good=True)
    assert other.errors == []


async def test_an_answer_that_is_still_written_cannot_be_rated(open_chat: OpenChat) -> None:
    gate = Steps()
    async with FakeModel(Reply(text="one two", wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await chat.send("Count")
        gate.step(2)
        await expect(chat.page.locator(".assistant .prose")).to_have_text("one")
        thumbs = chat.page.get_by_role("group", name="Rate this answer")
        await expect(thumbs).to_have_count(0)
        gate.step(9)
        await expect(thumbs).to_have_count(1)


# Sources


async def test_marks_lead_to_their_sources(open_chat: OpenChat) -> None:
    chat = await open_chat()
    answer = await answered(chat)
    for _ in range(2):
        sources = answer.get_by_role("region", name="Sources")
        await expect(sources.get_by_role("listitem")).to_have_count(3)
        first = sources.locator("details").first
        await expect(first).not_to_have_attribute("open", "")
        mark = answer.get_by_role("button", name="Source 1: When you get your deposit back")
        await expect(mark).to_have_text("[1]")
        await mark.click()
        await expect(first).to_have_attribute("open", "")
        await expect(first.locator("summary")).to_be_focused()
        link = first.get_by_role("link")
        await expect(link).to_have_text("https://help.harbour.example/fees/deposit")
        assert [await link.get_attribute(name) for name in ("href", "target", "rel")] == [
            "https://help.harbour.example/fees/deposit",
            "_blank",
            "noopener noreferrer",
        ]
        await expect(first.locator("p")).not_to_be_empty()
        await chat.page.reload()


async def test_only_known_marks_in_running_text_are_linked(open_chat: OpenChat) -> None:
    text = (
        "Sixty days[1], **free [2]**, unknown [9], `code [1]`, [1](https://example.com) and [link [2]](https://example.com).\n\n"
        "```\na[1]\n```\n\n| a |\n|---|\n| cell [1] |\n\n## Title [2]"
    )
    async with FakeModel(SEARCH, Reply(text=text)) as model:
        chat = await open_chat(model)
        answer = await answered(chat)
        await expect(answer.locator(".source .number")).to_have_text(["1", "2"])
        await expect(answer.locator(".prose .mark")).to_have_text(["[1]", "[2]", "[1]", "[2]"])
        assert await answer.locator(".prose :is(code, pre, a) .mark").count() == 0
        prose = answer.locator(".prose")
        await expect(prose).to_contain_text("unknown [9], code [1], 1 and")
        await answer.locator(".prose strong .mark").click()
        await expect(answer.locator(".source").nth(1)).to_have_attribute("open", "")


async def test_marks_are_text_until_the_answer_is_whole(open_chat: OpenChat) -> None:
    gate = Steps()
    async with FakeModel(SEARCH, Reply(text="See [1] now.", wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await chat.send(QUESTION)
        gate.step(3)
        prose = chat.page.locator(".assistant .prose")
        await expect(prose).to_have_text("See [1]")
        await expect(chat.page.locator(".mark")).to_have_count(0)
        gate.step(9)
        await expect(prose).to_have_text("See [1] now.")
        await expect(prose.locator(".mark")).to_have_count(1)


async def test_an_answer_without_citations_has_no_sources(open_chat: OpenChat) -> None:
    chat = await open_chat()
    answer = await answered(chat, "Tell me a joke")
    await expect(answer.locator(".sources")).to_be_hidden()


async def test_hostile_sources_are_text(open_chat: OpenChat) -> None:
    chat = await open_chat()
    await answered(chat)

    async def poison(route: Route) -> None:
        response = await route.fetch()
        page = await response.json()
        message = page["messages"][0]
        message["citations"] = [
            {"index": 1, "id": IMAGE, "title": IMAGE, "url": "javascript:window.hacked=1", "snippet": IMAGE},
            {"index": 2, "id": "x", "title": "x", "url": "data:text/html,<script>window.hacked=1</script>", "snippet": "x"},
            {"index": 3, "id": "y", "title": "y", "url": None, "snippet": "y"},
        ]
        await route.fulfill(response=response, json=page)

    await chat.page.route("**/messages?*", poison)
    await chat.page.reload()
    await expect(chat.page.locator(".source-title").first).to_have_text(IMAGE)
    for summary in await chat.page.locator(".source summary").all():
        await summary.click()
    assert await chat.page.locator(".sources a").count() == 0
    assert await chat.page.locator("main img:not([alt=''])").count() == 0
    assert await chat.page.evaluate("window.hacked") is None
    await expect(chat.page.locator(".mark").first).to_have_attribute("title", IMAGE)


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: `npm ci`")
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_axe_finds_nothing_serious(open_chat: OpenChat, colours: str, size: str) -> None:
    options: dict[str, Any] = PHONE if size == "phone" else {}
    chat = await open_chat(color_scheme=colours, reduced_motion="reduce", **options)
    answer = await answered(chat)
    await answer.locator(".mark").first.click()
    await answer.get_by_role("button", name="Bad answer").click()
    await expect(answer.get_by_role("textbox", name="What was wrong?")).to_be_focused()
    assert await findings(chat.page) == []
    assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
