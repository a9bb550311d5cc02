"""The page asks before a tool acts, and goes on with what was decided."""

from __future__ import annotations

from playwright.async_api import expect

from tests.fakes.model import Reply
from tests.web.asking import SUM, TIP, allow, answer, asking, cards, decide_elsewhere, history
from tests.web.conftest import OpenChat


async def test_allowing_runs_the_tool_and_goes_on(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(text="Let me see.", calls=(TIP,)), Reply(text="It is $12.75.")) as chat:
        await expect(cards(chat)).to_contain_text("85 * 0.15")
        await expect(chat.page.locator(".waits")).to_be_visible()
        await allow(chat).click()
        await expect(answer(chat)).to_contain_text("$12.75")
        await expect(cards(chat)).to_have_count(0)
        await expect(chat.page.locator(".tool .figure")).to_have_text("12.75")
        await expect(chat.page.locator(".waits")).to_have_count(0)
        assert [message["status"] for message in await history(chat)] == ["completed", "paused", "completed"]


async def test_refusing_with_a_reason_by_keyboard(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(calls=(TIP,)), Reply(text="As you like.")) as chat:
        await cards(chat).get_by_role("button", name="Refuse").focus()
        await chat.page.keyboard.press("Enter")
        await chat.page.keyboard.type("too <b>expensive</b>")
        await chat.page.keyboard.press("Enter")
        await expect(chat.page.locator(".tool.refused")).to_contain_text("too <b>expensive</b>")
        # It never ran: there is nothing to tell of how long it took.
        await expect(chat.page.locator(".tool.refused")).not_to_contain_text("ms")
        await expect(answer(chat)).to_contain_text("As you like.")
        assert await chat.page.evaluate("document.activeElement.id") == "input"
        assert (await history(chat))[1]["tool_calls"][0]["reason"] == "too <b>expensive</b>"


async def test_two_calls_are_decided_about_together_also_after_a_reload(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(calls=(TIP, SUM)), Reply(text="Done.")) as chat:
        await chat.page.reload()
        await cards(chat).first.get_by_role("button", name="Allow for this conversation").click()
        assert len(await history(chat)) == 2
        await cards(chat).last.get_by_role("button", name="Refuse").click()
        await cards(chat).last.get_by_role("button", name="Refuse").click()
        await expect(answer(chat)).to_contain_text("Done.")
        assert [call["status"] for call in (await history(chat))[1]["tool_calls"]] == ["completed", "refused"]
        thread = chat.thread_id
        assert [each["tool"] for each in (await chat.api("GET", f"threads/{thread}/approvals"))["approvals"]] == ["calculate"]


async def test_tools_that_are_allowed_for_the_conversation_can_be_made_to_ask_again(open_chat: OpenChat) -> None:
    replies = Reply(calls=(TIP,)), Reply(text="Done."), Reply(calls=(SUM,)), Reply(text="Fine.")
    async with asking(open_chat, *replies) as chat:
        more = chat.page.get_by_role("button", name="More about this conversation")
        again = chat.page.get_by_role("menuitem", name="Ask again before: Calculation")
        async with chat.page.expect_response("**/approvals"):
            await more.click()
        await expect(again).to_have_count(0)
        await chat.page.keyboard.press("Escape")
        await cards(chat).get_by_role("button", name="Allow for this conversation").click()
        await expect(answer(chat)).to_contain_text("Done.")
        await more.click()
        await again.click()
        await expect(chat.page.get_by_text("You will be asked again before: Calculation")).to_be_visible()
        await chat.send("And 2 + 2?")
        await expect(cards(chat)).to_be_visible()


async def test_what_was_decided_elsewhere_is_told_and_shown(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(calls=(TIP,)), Reply(text="It is $12.75.")) as chat:
        await decide_elsewhere(chat)
        await allow(chat).click()
        await expect(chat.page.get_by_text("This was decided already")).to_be_visible()
        await expect(answer(chat)).to_contain_text("$12.75")
        await expect(cards(chat)).to_have_count(0)


async def test_another_message_refuses_what_is_asked(open_chat: OpenChat) -> None:
    async with asking(open_chat, Reply(calls=(TIP,)), Reply(text="Fine.")) as chat:
        await chat.send("Never mind.")
        await expect(answer(chat)).to_contain_text("Fine.")
        await expect(cards(chat)).to_have_count(0)
        await expect(chat.page.locator(".tool.refused")).to_contain_text("the user went on")
