"""Where a request comes from: this machine, a proxy's caller, a page of another site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Request

from api.client import client_address
from identity.api_keys import make_key
from settings import Settings
from tests.support.server import serve_api

KEY, ENTRY = make_key("web", "contoso", ["chat"], None)


@pytest.mark.parametrize(
    "headers",
    [
        {"Forwarded": "for=192.0.2.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Host": "chat.example"},
    ],
    ids=str,
)
async def test_without_identity_what_is_forwarded_is_not_this_machine(api: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    refused = await api.get("/api/threads", headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (401, "unauthenticated")
    assert "API_KEYS or ENTRA_TENANT_IDS" in refused.json()["detail"]
    assert (await api.get("/api/threads", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200


async def test_a_page_that_cors_origins_names_is_served_without_identity(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, cors_origins=("https://app.example",))) as api:
        ours = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}
        assert (await api.get("/api/threads", headers=ours)).status_code == 200
        assert (await api.get("/api/threads", headers=ours | {"Origin": "https://evil.example"})).status_code == 401


async def test_who_shows_no_credential_is_never_told_to_slow_down(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, api_keys=(ENTRY,))) as api:
        for headers in ({}, {"X-API-Key": ""}, {"X-User-Id": "ann"}):
            for _ in range(25):
                assert (await api.get("/api/threads", headers=headers)).status_code == 401
        statuses = [(await api.get("/api/threads", headers={"X-API-Key": "wrong"})).status_code for _ in range(22)]
        assert statuses == [401] * 20 + [429] * 2
        assert (await api.get("/api/threads")).status_code == 401
        assert (await api.get("/api/threads", headers={"X-API-Key": KEY})).status_code == 200


def request(peer: str, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("1.2.3.4, 198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("1.2.3.4", "198.51.100.1"), "198.51.100.1"),
        ("10.0.0.1", ("1.2.3.4, 198.51.100.1, 10.0.0.9",), "198.51.100.1"),
        ("10.0.0.1", ("198.51.100.1:52814",), "198.51.100.1"),
        ("10.0.0.1", ("[2001:db8::1]:52814",), "2001:db8::1"),
        ("10.0.0.1", ("1.2.3.4, nonsense",), "unknown"),
        ("10.0.0.1", ("1.2.3.4,",), "unknown"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("10.0.0.2",), "10.0.0.2"),
        # As a socket for both versions of IP names a peer of the older one.
        ("::ffff:10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("::ffff:203.0.113.7", (), "203.0.113.7"),
    ],
)
def test_the_callers_address_is_the_first_that_no_trusted_proxy_has(
    peer: str, forwarded: tuple[str, ...], address: str
) -> None:
    settings = Settings(trusted_proxies="10.0.0.0/8")
    assert client_address(request(peer, *forwarded), settings) == address


def test_azures_front_end_is_believed_and_so_are_proxies_before_it() -> None:
    azure: dict[str, Any] = {
        "website_site_name": "func-x",
        "cosmos_endpoint": "https://x.documents.azure.com",
        "azure_openai_endpoint": "https://x.openai.azure.com",
        "azure_openai_model": "chat",
        "api_keys": (ENTRY,),
    }
    front = request("127.0.0.1", "1.2.3.4, 198.51.100.1:4711")
    assert client_address(front, Settings(**azure)) == "198.51.100.1"
    assert client_address(front, Settings(**azure, trusted_proxies=("198.51.100.0/24",))) == "1.2.3.4"
