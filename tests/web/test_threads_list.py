"""The list of conversations: load more, rename, archive, delete and undo."""

from __future__ import annotations

import time

from playwright.async_api import Locator, expect

from tests.web.conftest import Chat, OpenChat


def links(chat: Chat) -> Locator:
    return chat.page.get_by_role("navigation").get_by_role("link")


async def chat_with(open_chat: OpenChat, *titles: str) -> Chat:
    chat = await open_chat()
    for title in titles:
        await chat.api("POST", "threads", {"title": title})
    await chat.page.reload()
    await expect(links(chat).first).to_have_text(titles[-1])
    return chat


async def choose(chat: Chat, title: str, action: str) -> None:
    row = chat.page.get_by_role("navigation").get_by_role("listitem").filter(has_text=title)
    await row.hover()
    await row.get_by_role("button").click()
    await chat.page.get_by_role("menuitem", name=action).click()


async def titles_of(chat: Chat, status: str = "active") -> list[str]:
    page = await chat.api("GET", f"threads?status={status}")
    return [thread["title"] for thread in page["threads"]]


async def test_the_newest_is_first_and_more_are_loaded(open_chat: OpenChat) -> None:
    chat = await chat_with(open_chat, *(f"Thread {number}" for number in range(35)))
    await expect(links(chat)).to_have_count(30)
    await chat.page.get_by_role("button", name="Load more").click()
    await expect(links(chat)).to_have_count(35)
    await expect(links(chat).last).to_have_text("Thread 0")
    await expect(chat.page.get_by_role("button", name="Load more")).to_have_count(0)


async def test_rename_in_place(open_chat: OpenChat) -> None:
    chat = await chat_with(open_chat, "First", "Second")
    await choose(chat, "First", "Rename")
    field = chat.page.get_by_role("textbox", name="Title of the conversation")
    await expect(field).to_be_focused()
    await field.fill("Journey")
    await field.press("Enter")
    await expect(links(chat).filter(has_text="Journey")).to_have_count(1)
    assert sorted(await titles_of(chat)) == ["Journey", "Second"]
    await choose(chat, "Second", "Rename")
    await field.fill("Nothing")
    await field.press("Escape")
    await expect(links(chat).filter(has_text="Second")).to_be_focused()
    assert sorted(await titles_of(chat)) == ["Journey", "Second"]


async def test_archive_and_restore(open_chat: OpenChat) -> None:
    chat = await chat_with(open_chat, "First", "Second")
    await choose(chat, "First", "Archive")
    await expect(links(chat)).to_have_count(1)
    await expect(chat.page.locator(".toast")).to_contain_text("archived")
    assert await titles_of(chat, "archived") == ["First"]
    await chat.page.get_by_role("button", name="Archived").click()
    await expect(links(chat)).to_have_text(["First"])
    await choose(chat, "First", "Restore")
    await expect(chat.page.get_by_text("Nothing is archived.")).to_be_visible()
    assert sorted(await titles_of(chat)) == ["First", "Second"]


async def test_delete_and_undo(open_chat: OpenChat) -> None:
    chat = await chat_with(open_chat, "First", "Second")
    await links(chat).filter(has_text="First").click()
    await expect(chat.page.locator("#title")).to_have_text("First")
    await choose(chat, "First", "Delete")
    await expect(links(chat)).to_have_count(1)
    await expect(chat.page.locator("#title")).to_have_text("New conversation")
    await chat.page.get_by_role("button", name="Undo").click()
    await expect(links(chat)).to_have_count(2)
    await expect(chat.page.locator("#title")).to_have_text("First")
    assert sorted(await titles_of(chat)) == ["First", "Second"]

    await choose(chat, "Second", "Delete")
    async with chat.page.expect_response(lambda response: response.request.method == "DELETE"):
        await chat.page.get_by_role("button", name="Dismiss").click()
    assert await titles_of(chat) == ["First"]


async def test_leaving_the_page_deletes_at_once(open_chat: OpenChat) -> None:
    chat = await chat_with(open_chat, "First", "Second")
    await choose(chat, "Second", "Delete")
    await expect(links(chat)).to_have_count(1)
    await chat.page.reload()
    deadline = time.monotonic() + 10
    while await titles_of(chat) != ["First"]:
        assert time.monotonic() < deadline
