"""What the model thought: folded above its answer, while it comes and afterwards, and only ever text."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.fakes.model import Call, FakeModel, Reply
from tests.support.accessibility import AXE, PHONE, findings
from tests.support.steps import Steps
from tests.web.conftest import OpenChat

HOSTILE = "<img src=x onerror=\"window.hacked='image'\"> **not bold** <script>window.hacked=1</script>"


async def test_thoughts_come_first_and_stay_folded_above_the_answer(open_chat: OpenChat) -> None:
    gate = Steps()
    async with FakeModel(Reply(reasoning="first one\nthen two", text="It is so.", wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await chat.send("Is it?")
        answer = chat.page.locator(".message.assistant")
        await expect(answer.locator(".waiting")).to_be_visible()
        await expect(answer.locator("details")).to_have_count(0)
        gate.step(2)
        thoughts = answer.locator("details.thoughts")
        await expect(thoughts.locator("summary")).to_have_text("Thinking…")
        await expect(answer.locator(".waiting")).to_be_hidden()
        await expect(thoughts.locator(".thoughts-body")).to_be_hidden()
        await thoughts.locator("summary").focus()
        await chat.page.keyboard.press("Enter")
        await expect(thoughts.locator(".thoughts-body")).to_have_text("first")
        gate.step(2)
        await expect(thoughts.locator(".thoughts-body")).to_have_text("first one\nthen two")
        await expect(answer.locator(".prose")).to_be_empty()
        gate.step(1)
        await expect(thoughts.locator("summary")).to_have_text("Thoughts")
        gate.step(9)
        await expect(answer.locator(".prose")).to_have_text("It is so.")
        await expect(answer.locator(".thoughts-body")).to_be_visible()
        await expect(chat.page.locator("#announcer")).to_have_text("It is so.")
        above, below = await thoughts.bounding_box(), await answer.locator(".prose").bounding_box()
        assert above
        assert below
        assert above["y"] + above["height"] <= below["y"]

        await chat.page.reload()
        await expect(thoughts.locator("summary")).to_have_text("Thoughts")
        await expect(thoughts.locator(".thoughts-body")).to_be_hidden()
        await thoughts.locator("summary").click()
        await expect(thoughts.locator(".thoughts-body")).to_have_text("first one\nthen two")


async def test_a_reload_while_the_model_thinks_shows_all_of_it_once(open_chat: OpenChat) -> None:
    gate = Steps()
    async with FakeModel(Reply(reasoning="one two three", text="Yes.", wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        await chat.send("Is it?")
        gate.step(2)
        body = chat.page.locator(".thoughts-body")
        await expect(chat.page.locator(".thoughts summary")).to_have_text("Thinking…")
        await chat.page.reload()
        await expect(body).to_have_text("one two")
        gate.step(9)
        await expect(chat.page.locator(".prose")).to_have_text("Yes.")
        await expect(body).to_have_text("one two three")


async def test_thoughts_around_a_tool_call_are_in_one_place(open_chat: OpenChat) -> None:
    call = Call("calculate", '{"expression": "2+2"}')
    async with FakeModel(Reply(reasoning="before", calls=(call,)), Reply(reasoning="after", text="4.")) as model:
        chat = await open_chat(model)
        await chat.send("What is 2+2?")
        answer = chat.page.locator(".message.assistant:not(.live)")
        await expect(answer.locator("details")).to_have_count(2)
        assert await answer.locator("details").first.get_attribute("class") == "thoughts"
        await expect(answer.locator(".thoughts-body")).to_have_text("before\n\nafter")


async def test_an_answer_without_thoughts_has_no_place_for_them(open_chat: OpenChat) -> None:
    async with FakeModel(Reply(reasoning=" \n ", text="Yes."), Reply(text="No.")) as model:
        chat = await open_chat(model)
        for said in ("Yes.", "No."):
            await chat.send("Is it?")
            await expect(chat.page.locator(".message.assistant:not(.live)").last).to_contain_text(said)
        assert await chat.page.locator("details").count() == 0


async def test_thoughts_are_only_text(open_chat: OpenChat) -> None:
    async with FakeModel(Reply(reasoning=HOSTILE, text="Yes.")) as model:
        chat = await open_chat(model)
        await chat.send("Is it?")
        await expect(chat.page.locator(".message.assistant:not(.live)")).to_contain_text("Yes.")
        await chat.page.locator(".thoughts summary").click()
        await expect(chat.page.locator(".thoughts-body")).to_have_text(HOSTILE)
        assert await chat.page.locator(".thoughts-body > *").count() == 0
        assert await chat.page.evaluate("window.hacked") is None


@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: `npm ci`")
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_axe_finds_nothing_serious(open_chat: OpenChat, colours: str, size: str) -> None:
    options: dict[str, Any] = PHONE if size == "phone" else {}
    async with FakeModel(Reply(reasoning="x" * 500 + " thought " * 40, text="Yes.")) as model:
        chat = await open_chat(model, color_scheme=colours, reduced_motion="reduce", **options)
        await chat.send("Is it?")
        await expect(chat.page.locator(".message.assistant:not(.live)")).to_contain_text("Yes.")
        assert await findings(chat.page) == []
        await chat.page.locator(".thoughts summary").click()
        assert await findings(chat.page) == []
        assert await chat.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
