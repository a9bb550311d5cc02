"""The page when turns fail and connections break: it says why, tries again, and doubles nothing."""

from __future__ import annotations

import pytest
from playwright.async_api import Route, expect

from tests.fakes.model import FakeModel, Reply
from tests.support.steps import Steps
from tests.web.conftest import OpenChat

WORDS = "one **two** three four five six"


async def test_a_failed_turn_says_why_and_is_retried_once(open_chat: OpenChat) -> None:
    async with FakeModel(Reply(status=401), Reply(text="Better now.")) as model:
        chat = await open_chat(model)
        keys: list[str | None] = []
        chat.page.on("request", lambda request: keys.append(request.headers.get("idempotency-key")))
        await chat.send("Hello?")
        await expect(chat.page.locator(".notice")).to_contain_text("The model is not set up correctly")
        await expect(chat.page.locator(".assistant")).to_have_count(0)
        # The key comes back with the message.
        await chat.page.reload()
        await chat.retry()
        await expect(chat.page.locator(".assistant .prose")).to_have_text("Better now.")
        await expect(chat.page.locator(".notice")).to_have_count(0)
        history = await chat.api("GET", f"threads/{chat.thread_id}/messages")
        assert [message["role"] for message in history["messages"]] == ["user", "assistant"]
        sent = [key for key in keys if key]
        assert len(sent) == 2
        assert len(set(sent)) == 1


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_an_answer_of_the_platforms_own_is_explained_and_retried(open_chat: OpenChat, status: int) -> None:
    async with FakeModel(Reply(text="Here I am.")) as model:
        chat = await open_chat(model)
        keys: list[str | None] = []

        async def refuse(route: Route) -> None:
            if route.request.method != "POST":
                return await route.fallback()
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) > 1:
                return await route.fallback()
            return await route.fulfill(status=status, content_type="text/html", body="<h1>Service Unavailable</h1>")

        await chat.page.route("**/messages?reasoning=true", refuse)
        await chat.send("Hello?")
        await expect(chat.page.locator(".notice")).to_contain_text("The service cannot answer right now")
        await chat.retry()
        await expect(chat.page.locator(".assistant .prose")).to_have_text("Here I am.")
        assert len(set(keys)) == 1


async def test_a_stream_that_breaks_is_taken_up_again(open_chat: OpenChat) -> None:
    gate = Steps()
    async with FakeModel(Reply(text=WORDS, wait_for_piece=gate)) as model:
        chat = await open_chat(model)
        broken: list[str] = []

        async def cut(route: Route) -> None:
            """Let the page see the first events only."""
            if route.request.method != "POST":
                return await route.fallback()
            gate.step(20)
            response = await route.fetch()
            events = (await response.text()).split("\n\n")
            first = "".join(f"{event}\n\n" for event in events[:3])
            broken.append(first)
            return await route.fulfill(response=response, body=first + "id: 4\nevent: mess")

        await chat.page.route("**/messages?reasoning=true", cut)
        await chat.send("Count")
        await expect(chat.page.locator(".assistant:not(.live) .prose")).to_have_text("one two three four five six")
        assert len(broken) == 1
        assert len(model.requests) == 1


async def test_an_answer_lost_on_its_way_is_asked_for_again(open_chat: OpenChat) -> None:
    async with FakeModel(Reply(text=WORDS)) as model:
        chat = await open_chat(model)
        lost: list[str] = []

        async def lose(route: Route) -> None:
            if route.request.method != "POST" or lost:
                return await route.fallback()
            lost.append(await (await route.fetch()).text())
            return await route.abort()

        await chat.page.route("**/messages?reasoning=true", lose)
        await chat.send("Count")
        await expect(chat.page.locator(".assistant:not(.live) .prose")).to_have_text("one two three four five six")
        assert "message.completed" in lost[0]
        history = await chat.api("GET", f"threads/{chat.thread_id}/messages")
        assert len(history["messages"]) == 2
        assert len(model.requests) == 1


async def test_offline_it_tries_on_until_it_is_told_to_stop(open_chat: OpenChat) -> None:
    chat = await open_chat()
    await chat.page.context.set_offline(True)
    await chat.send("Tell me a joke")
    await expect(chat.page.locator(".notice")).to_contain_text("connection")
    await chat.page.context.set_offline(False)
    await chat.retry()
    await expect(chat.page.locator(".assistant:not(.live) .prose")).to_contain_text("lease")

    await chat.page.context.set_offline(True)
    await chat.send("What is 2 + 2?")
    await expect(chat.page.locator("#connection")).to_contain_text("Reconnecting")
    await chat.page.get_by_role("button", name="Stop").click()
    await expect(chat.page.locator(".notice")).to_contain_text("connection")
    await chat.page.context.set_offline(False)
    await chat.retry()
    await expect(chat.page.locator(".assistant:not(.live) .prose").last).to_contain_text("2 + 2 = 4")
    await chat.send("What is 3 + 3?")
    await expect(chat.page.locator(".message")).to_have_count(6)
