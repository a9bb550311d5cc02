"""Who may send activities, and where answers go: real RS256 tokens, and the bot's own token nowhere but to its channel."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

import teams.connector
from settings import Settings
from teams.tokens import is_service_url
from tests.fakes import activities
from tests.fakes.activities import APP_ID, TENANT
from tests.fakes.bot_service import FakeBotService, fake_bot_service
from tests.fakes.connector import FakeConnector
from tests.fakes.entra import OTHER_TENANT, STRANGE_KEY
from tests.support.server import serve_api

OTHER_APP = "8a1c8b5e-0000-4000-8000-0000000000ff"
OURS = "the bot's own token"


@pytest.fixture
async def bot_service() -> AsyncIterator[FakeBotService]:
    async with fake_bot_service() as fake:
        yield fake


@pytest.fixture
def settings(bot_service: FakeBotService, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, bot_app_id=APP_ID, bot_tenant_id=TENANT, bot_openid_metadata=bot_service.metadata)


@pytest.fixture
async def channel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeConnector]:
    @asynccontextmanager
    async def token_source(_: Settings) -> AsyncIterator[Any]:
        async def token() -> str:
            return OURS

        yield token

    monkeypatch.setattr(teams.connector, "open_token_source", token_source)
    async with FakeConnector() as channel:
        yield channel


@pytest.fixture
async def api(settings: Settings, channel: FakeConnector) -> AsyncIterator[httpx2.AsyncClient]:
    async with serve_api(settings) as client:
        yield client


async def post(api: httpx2.AsyncClient, activity: dict[str, Any], token: str | None) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return await api.post("/api/messages", json=activity, headers=headers)


async def test_bot_services_own_token_lets_an_activity_in(
    api: httpx2.AsyncClient, bot_service: FakeBotService, channel: FakeConnector
) -> None:
    activity = activities.message(channel.url, "What is 2 + 2?")
    answer = await post(api, activity, bot_service.token(channel.url))
    assert (answer.status_code, answer.content) == (202, b"")
    await channel.until(lambda: bool(channel.shown))
    assert {each.authorization for each in channel.sent} == {f"Bearer {OURS}"}
    assert bot_service.requests == ["/v1/.well-known/openidconfiguration", "/v1/.well-known/keys"]


def refused_tokens() -> dict[str, dict[str, Any]]:
    past = int(time.time()) - 7200
    return {
        "another bot's": {"aud": OTHER_APP},
        "several audiences": {"aud": [APP_ID, OTHER_APP]},
        "another issuer's": {"iss": "https://sts.windows.net/x/"},
        "a user's": {"iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "tid": TENANT, "oid": activities.USER},
        "expired": {"exp": past, "nbf": past - 60},
        "not valid yet": {"nbf": int(time.time()) + 3600},
        "without an end": {"exp": None},
        "without a service": {"serviceurl": None},
        "signed by somebody else": {"key": STRANGE_KEY},
        "of an unknown key": {"kid": "k2"},
        "without a key": {"kid": None},
        "unsigned": {"key": None, "algorithm": "none"},
        "signed with a shared secret": {"key": "x" * 32, "algorithm": "HS256"},
    }


@pytest.mark.parametrize("name", refused_tokens())
async def test_every_other_token_is_refused(
    api: httpx2.AsyncClient, bot_service: FakeBotService, channel: FakeConnector, name: str
) -> None:
    answer = await post(api, activities.message(channel.url), bot_service.token(channel.url, **refused_tokens()[name]))
    assert (answer.status_code, answer.json()["type"]) == (401, "unauthenticated")
    assert channel.sent == []


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x", "Basic YTpi", "Bearer a.b.c"])
async def test_no_token_is_refused_before_the_body_is_read(api: httpx2.AsyncClient, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization is not None else {}
    answer = await api.post("/api/messages", content=b"{", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (401, "unauthenticated")


async def test_an_activity_must_be_of_our_tenant_and_from_where_its_token_says(
    api: httpx2.AsyncClient, bot_service: FakeBotService, channel: FakeConnector
) -> None:
    async with FakeConnector() as thief:
        conversation = {"id": "a:1", "conversationType": "personal", "tenantId": OTHER_TENANT}
        bad = [
            (activities.message(thief.url), channel.url),
            (activities.message("https://smba.trafficmanager.net/emea/"), "https://smba.trafficmanager.net/emea/"),
            (activities.message("https://evil.example/"), "https://evil.example/"),
            (activities.message(channel.url, channelData={"tenant": {"id": OTHER_TENANT}}), channel.url),
            (activities.message(channel.url, conversation=conversation), channel.url),
            (activities.message(channel.url, conversation={"id": "a:1"}, channelData=None), channel.url),
        ]
        for activity, service_url in bad:
            answer = await post(api, activity, bot_service.token(service_url))
            assert (answer.status_code, answer.json()["type"]) == (400, "invalid_activity")
        assert thief.sent == []
    assert channel.sent == []


@pytest.mark.parametrize(
    ("endorsements", "status"), [(["msteams", "webchat"], 202), (["webchat"], 401), ([], 401), (None, 202)]
)
async def test_a_key_speaks_for_the_channels_that_it_is_endorsed_for(
    api: httpx2.AsyncClient, bot_service: FakeBotService, channel: FakeConnector, endorsements: list[str] | None, status: int
) -> None:
    bot_service.endorsements = endorsements
    typing = activities.message(channel.url, type="typing", text=None)
    assert (await post(api, typing, bot_service.token(channel.url))).status_code == status


@pytest.mark.parametrize(("seconds", "status"), [(240, 202), (360, 401)])
async def test_clocks_may_differ_by_five_minutes(
    api: httpx2.AsyncClient, bot_service: FakeBotService, channel: FakeConnector, seconds: int, status: int
) -> None:
    now = int(time.time())
    typing = activities.message(channel.url, type="typing", text=None)
    cases: list[dict[str, Any]] = [{"exp": now - seconds, "nbf": now - 3600}, {"nbf": now + seconds}]
    for claims in cases:
        assert (await post(api, typing, bot_service.token(channel.url, **claims))).status_code == status


async def test_keys_that_cannot_be_had_are_no_refusal(
    api: httpx2.AsyncClient, bot_service: FakeBotService, channel: FakeConnector
) -> None:
    bot_service.status = 500
    answer = await post(api, activities.message(channel.url), bot_service.token(channel.url))
    assert (answer.status_code, answer.json()["type"]) == (503, "identity_unavailable")


async def test_failed_attempts_are_limited(api: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(post(api, {}, "x") for _ in range(25)))
    assert sorted(answer.status_code for answer in answers) == [401] * 20 + [429] * 5


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://smba.trafficmanager.net/emea/", True),
        ("https://webchat.botframework.com/", True),
        ("https://canary.smba.trafficmanager.net/", True),
        ("https://botapi.teams.microsoft.com/amer/", True),
        ("http://smba.trafficmanager.net/emea/", False),
        ("https://smba.trafficmanager.net:8443/", False),
        ("https://trafficmanager.net/", False),
        ("https://evil.trafficmanager.net/", False),
        ("https://smba.trafficmanager.net.evil.example/", False),
        ("https://evil.example/?x=.botframework.com", False),
        ("https://evilbotframework.com/", False),
        ("https://botframework.com@evil.example/", False),
        ("https://evil.example\\.botframework.com/", False),
        ("https://[", False),
        ("https://x.botframework.com:99999/", False),
        ("https://evil.example%2f.botframework.com/", False),
        ("https://evil.example .botframework.com/", False),
        ("http://127.0.0.1/", False),
        ("", False),
    ],
)
def test_answers_go_to_channels_only(url: str, allowed: bool) -> None:
    settings = Settings(bot_app_id=APP_ID, bot_tenant_id=TENANT)
    assert is_service_url(url, settings) is allowed


async def test_without_a_bot_there_is_nothing(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path)) as api:
        answer = await api.post("/api/messages", json={})
        assert (answer.status_code, answer.json()["type"]) == (404, "not_found")


async def test_the_local_bot_serves_this_machine_only(tmp_path: Path) -> None:
    from api.app import create_app

    app = create_app(Settings(data_dir=tmp_path, teams_local=True))
    for client in (("203.0.113.9", 1), None):
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any, client: Any = client, state: Any = state) -> None:
                await app({**scope, "client": client, "state": dict(state)}, receive, send)

            transport = httpx2.ASGITransport(with_state)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as api:
                answer = await api.post("/api/messages", json=activities.message("http://localhost:1/"))
        assert (answer.status_code, answer.json()["type"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Origin": "https://evil.example"}, 401),
        ({"Origin": "null"}, 401),
        ({"X-Forwarded-For": "127.0.0.1"}, 401),
        ({"Origin": "http://localhost:56150"}, 202),
    ],
)
async def test_no_web_page_speaks_to_the_local_bot(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    typing = json.dumps(activities.message("http://127.0.0.1:1", "hi") | {"type": "typing"})
    async with serve_api(Settings(data_dir=tmp_path, teams_local=True)) as api:
        answer = await api.post("/api/messages", content=typing, headers={"Content-Type": "application/json", **headers})
        assert answer.status_code == status, answer.text
