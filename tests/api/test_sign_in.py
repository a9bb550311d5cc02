"""How clients learn where their users sign in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from tests.fakes.entra import OTHER_TENANT, TENANT
from tests.support.server import serve_api

CLIENT = "33333333-3333-4333-8333-333333333333"
LOGIN = "https://login.microsoftonline.com"


@pytest.mark.parametrize(
    ("settings", "authority", "scope"),
    [
        ({"entra_audience": CLIENT}, f"{LOGIN}/{TENANT}", f"api://{CLIENT}/access_as_user"),
        ({"entra_audience": "api://chat"}, f"{LOGIN}/{TENANT}", "api://chat/access_as_user"),
        (
            {"entra_audience": CLIENT, "entra_tenant_ids": (TENANT, OTHER_TENANT), "entra_required_permission": "chat.access"},
            f"{LOGIN}/organizations",
            f"api://{CLIENT}/chat.access",
        ),
        (
            {"entra_audience": CLIENT, "entra_authority": "https://login.microsoftonline.us/"},
            f"https://login.microsoftonline.us/{TENANT}",
            f"api://{CLIENT}/access_as_user",
        ),
    ],
)
async def test_anybody_may_ask_how_to_sign_in(tmp_path: Path, settings: dict[str, Any], authority: str, scope: str) -> None:
    fields = {"data_dir": tmp_path, "entra_tenant_ids": (TENANT,), "entra_client_id": CLIENT, **settings}
    async with serve_api(Settings(**fields)) as api:
        response = await api.get("/api/sign-in")
        assert response.json() == {"authority": authority, "client_id": CLIENT, "scope": scope}
        # The page may fetch tokens from there, and from nowhere else.
        policy = (await api.get("/")).headers["content-security-policy"]
        assert f"connect-src 'self' {authority.rpartition('/')[0]};" in policy


async def test_without_a_registration_there_is_no_sign_in(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path)) as api:
        response = await api.get("/api/sign-in")
        assert (response.status_code, response.json()["type"]) == (404, "not_found")
        assert "connect-src 'self';" in (await api.get("/")).headers["content-security-policy"]
