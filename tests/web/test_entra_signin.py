"""Signing in on the page with Entra ID: the real MSAL against a fake authority."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.fakes.entra import OTHER_TENANT, TENANT
from tests.fakes.entra_sign_in import CLIENT, FakeSignIn, fake_sign_in, write_certificate
from tests.support.accessibility import findings
from tests.web.conftest import Chat, OpenChat


@pytest_asyncio.fixture(loop_scope="session")
async def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSignIn]:
    certificate = tmp_path / "authority.pem"
    write_certificate(certificate)
    # The API fetches the authority's keys.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with fake_sign_in(certificate) as authority:
        yield authority


def settings_of(authority: FakeSignIn) -> dict[str, Any]:
    return {
        "entra_tenant_ids": (TENANT,),
        "entra_audience": CLIENT,
        "entra_client_id": CLIENT,
        "entra_authority": authority.entra.url,
    }


@pytest.fixture
def open_page(open_chat: OpenChat, authority: FakeSignIn) -> Any:
    async def open_page() -> tuple[Chat, Locator]:
        chat = await open_chat(settings=settings_of(authority), ignore_https_errors=True)
        authority.redirect_uris.add(f"{chat.address}/")
        return chat, chat.page.get_by_role("dialog", name="Sign in")

    return open_page


async def sign_in(dialog: Locator) -> None:
    await dialog.get_by_role("button", name="Sign in with Microsoft").click()


async def signed_in(chat: Chat) -> None:
    """Wait until the page has asked the API for something and got it."""
    await expect(chat.page.locator("#model")).to_contain_text("Offline model")


async def test_a_user_signs_in_chats_stays_signed_in_and_signs_out(open_page: Any, authority: FakeSignIn) -> None:
    chat, dialog = await open_page()
    page = chat.page
    await expect(dialog.get_by_role("button", name="Sign in with Microsoft")).to_be_focused()
    assert await findings(page) == []
    assert not await page.evaluate("performance.getEntriesByType('resource').some((each) => each.name.includes('msal'))")
    await sign_in(dialog)
    await signed_in(chat)
    await chat.send("Tell me a joke")
    await expect(page.locator(".assistant:not(.live) .prose")).to_contain_text("lease")
    await page.reload()
    await expect(page.locator(".assistant:not(.live) .prose")).to_contain_text("lease")
    await expect(dialog).to_be_hidden()
    # One code, and no refresh: the token is still good.
    assert (authority.grants, authority.prompts) == (["authorization_code"], [None])
    assert chat.thread_id.startswith("thread_")
    await page.get_by_role("button", name="Sign out").click()
    await expect(dialog).to_be_visible()
    await expect(page.locator(".message")).to_have_count(0)


async def test_a_token_that_has_expired_is_renewed_without_the_user(open_page: Any, authority: FakeSignIn) -> None:
    authority.claims.append({"exp": int(time.time()) - 600})
    chat, dialog = await open_page()
    await sign_in(dialog)
    await signed_in(chat)
    await expect(dialog).to_be_hidden()
    assert authority.grants == ["authorization_code", "refresh_token"]


async def test_a_user_whom_the_api_does_not_know_may_choose_another_account(open_page: Any, authority: FakeSignIn) -> None:
    authority.claims += [{"tid": OTHER_TENANT}] * 2
    chat, dialog = await open_page()
    await sign_in(dialog)
    await expect(dialog.get_by_role("alert")).to_contain_text("not accepted")
    assert authority.grants == ["authorization_code", "refresh_token"]
    await sign_in(dialog)
    await signed_in(chat)
    assert authority.prompts == [None, "select_account"]


async def test_what_the_authority_says_is_shown(open_page: Any, authority: FakeSignIn) -> None:
    authority.refuses = "AADSTS65004: User declined to consent <b>"
    _, dialog = await open_page()
    await sign_in(dialog)
    await expect(dialog.get_by_role("alert")).to_contain_text("AADSTS65004: User declined to consent <b>")


async def test_a_session_that_is_over_ends_in_the_dialog(open_page: Any, authority: FakeSignIn) -> None:
    chat, dialog = await open_page()
    await sign_in(dialog)
    await expect(chat.page.get_by_role("button", name="Sign out")).to_be_visible()
    authority.refresh_tokens.clear()
    # The API no longer takes the token, as after a change of its settings, and there is none to renew it with.
    await chat.page.route("**/api/threads*", lambda route: route.fulfill(status=401, json={"type": "unauthenticated"}))
    await chat.page.reload()
    await expect(dialog).to_be_visible()


async def test_without_it_nothing_of_it_is_loaded(open_chat: OpenChat) -> None:
    chat = await open_chat()
    await chat.send("Tell me a joke")
    await expect(chat.page.locator(".assistant:not(.live) .prose")).to_contain_text("lease")
    loaded = await chat.page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
    assert not [each for each in loaded if "msal" in each or "sign-in" in each]
    response = await chat.page.request.get(f"{chat.address}/api/sign-in")
    assert (response.status, (await response.json())["type"]) == (404, "not_found")
