"""Signing in on the page: with an API key, with a token, and out again."""

from __future__ import annotations

from playwright.async_api import expect

from identity.api_keys import make_key
from tests.fakes.entra import AUDIENCE, TENANT, fake_entra
from tests.support.accessibility import findings
from tests.web.conftest import OpenChat

KEY, ENTRY = make_key("web", "contoso", ["chat"], None)


async def test_a_key_is_asked_for_checked_and_kept_for_the_session(open_chat: OpenChat) -> None:
    chat = await open_chat(settings={"api_keys": (ENTRY,)})
    page = chat.page
    dialog = page.get_by_role("dialog", name="Sign in")
    await expect(dialog).to_be_visible()
    assert await findings(page) == []
    secret = dialog.get_by_label("API key or token")
    await expect(secret).to_be_focused()
    await secret.fill("wrong")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_contain_text("not accepted")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_visible()
    await secret.fill(KEY)
    await dialog.get_by_label("User name").fill("ann")
    await dialog.get_by_role("button", name="Continue").click()
    await expect(dialog).to_be_hidden()
    await chat.send("Tell me a joke")
    await expect(page.locator(".assistant:not(.live) .prose")).to_contain_text("lease")
    await page.reload()
    await expect(page.locator(".assistant:not(.live) .prose")).to_contain_text("lease")
    assert await page.evaluate("localStorage.length") == await page.evaluate(
        "Object.keys(localStorage).filter((name) => !name.includes('credentials')).length"
    )
    await page.get_by_role("button", name="Sign out").click()
    await expect(dialog).to_be_visible()
    await expect(page.locator(".message")).to_have_count(0)
    chat.errors.clear()


async def test_a_token_can_be_pasted_in(open_chat: OpenChat) -> None:
    async with fake_entra() as authority:
        settings = {"entra_tenant_ids": (TENANT,), "entra_audience": AUDIENCE, "entra_authority": authority.url}
        chat = await open_chat(settings=settings)
        dialog = chat.page.get_by_role("dialog", name="Sign in")
        await dialog.get_by_label("API key or token").fill(f"Bearer {authority.token()}")
        await dialog.get_by_role("button", name="Continue").click()
        await expect(dialog).to_be_hidden()
        await chat.send("Tell me a joke")
        await expect(chat.page.locator(".assistant:not(.live) .prose")).to_contain_text("lease")
