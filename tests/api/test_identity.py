"""Who gets in, and what strangers see: every route of the app, with and without credentials."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import iter_route_contexts

from api.app import create_app
from api.secured_route import SecuredRoute
from identity.api_keys import make_key
from settings import Settings
from tests.fakes.entra import AUDIENCE, TENANT, FakeEntra, fake_entra
from tests.support.api import in_background
from tests.support.server import serve_api

ANN, ANN_ENTRY = make_key("web", "contoso", ["chat"], None)
ADMIN, ADMIN_ENTRY = make_key("operations", "contoso", ["chat", "admin"], 30)
OTHER, OTHER_ENTRY = make_key("web", "fabrikam", ["chat"], None)
POWERLESS, POWERLESS_ENTRY = make_key("none", "contoso", [], None)
EXPIRED, EXPIRED_ENTRY = make_key("old", "contoso", ["chat"], 1)
EXPIRED_ENTRY = EXPIRED_ENTRY.model_copy(update={"expires": datetime.now(UTC) - timedelta(seconds=1)})
KEYS = (ANN_ENTRY, ADMIN_ENTRY, OTHER_ENTRY, POWERLESS_ENTRY, EXPIRED_ENTRY)
# What anybody may read: that the process is up and ready, the description of the API, and the pages' own files. The bot's
# route is not for API callers: it takes Bot Service's tokens only (tests/teams/test_sign_in.py); without a bot it is empty.
PUBLIC = {
    "/api/messages",
    "/",
    "/web/{file}",
    "/web/vendor/{file}",
    "/api/health",
    "/api/ready",
    "/api/sign-in",
    "/api/openapi.json",
    "/api/docs",
    "/api/docs/{file}",
}
STRANGERS = {
    "another user": {"X-API-Key": ANN, "X-User-Id": "bob"},
    "another key's name": {"X-API-Key": ADMIN},
    "another tenant": {"X-API-Key": OTHER, "X-User-Id": "ann"},
}
AS_ANN = {"X-API-Key": ANN, "X-User-Id": "ann"}
BODIES: dict[str, dict[str, Any]] = {
    "send_message": {"content": "hi"},
    "update_thread": {"title": "Mine"},
    "invoke": {"user_input": "hi"},
    "stream": {"user_input": "hi"},
    "batch": {"questions": ["hi"]},
    "create_thread": {},
    "put_feedback": {"rating": "up"},
    "continue_turn": {"approvals": []},
}


def routes() -> list[tuple[str, str, str, bool]]:
    """Return every route of the app as (name, method, path, secured)."""
    app = create_app(Settings(data_dir=Path("nowhere")))
    return [
        (str(context.name), method, str(context.path), isinstance(context.original_route, SecuredRoute))
        for context in iter_route_contexts(app.routes)
        for method in sorted(context.methods or ())
    ]


SECURED = [(name, method, path) for name, method, path, secured in routes() if secured]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, api_keys=KEYS)


@pytest.fixture
async def theirs(api: httpx2.AsyncClient) -> dict[str, str]:
    """Ann's thread and its turn."""
    thread = (await api.post("/api/threads", json={"title": "Secret plans"}, headers=AS_ANN)).json()
    location = await in_background(api, f"/api/threads/{thread['id']}/messages", **AS_ANN)
    message_id = thread["id"].replace("thread_", "msg_") + "_2"
    return {"thread_id": thread["id"], "turn_id": location.rpartition("/")[2], "message_id": message_id}


async def call(
    api: httpx2.AsyncClient, route: tuple[str, str, str], ids: dict[str, str], headers: dict[str, str]
) -> httpx2.Response:
    name, method, path = route
    filled = re.sub(r"\{(\w+)\}", lambda match: ids.get(match[1], "x"), path)
    return await api.request(method, filled, json=BODIES.get(name), headers=headers)


def test_only_what_is_meant_to_be_is_public() -> None:
    assert {path for _, _, path, secured in routes() if not secured} == PUBLIC


@pytest.mark.parametrize("route", SECURED, ids=lambda route: route[0])
async def test_nobody_gets_in_without_credentials(api: httpx2.AsyncClient, route: tuple[str, str, str]) -> None:
    ids = {"thread_id": f"thread_{'0' * 32}", "turn_id": f"turn_{'0' * 32}"}
    for headers in (
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ANN_ENTRY.sha256},
        {"X-API-Key": EXPIRED},
        {"X-User-Id": "ann"},
        {"Authorization": f"Bearer {ANN}"},
        {"Authorization": "Basic YTpi"},
    ):
        response = await call(api, route, ids, headers)
        assert (response.status_code, response.json()["type"]) == (401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer ")
        assert response.json()["detail"] == "Send a valid API key in X-API-Key, or a valid bearer token."


@pytest.mark.parametrize("route", [route for route in SECURED if "{thread_id}" in route[2]], ids=lambda route: route[0])
@pytest.mark.parametrize("stranger", STRANGERS)
async def test_strangers_see_no_thread_at_all(
    api: httpx2.AsyncClient, theirs: dict[str, str], route: tuple[str, str, str], stranger: str
) -> None:
    response = await call(api, route, theirs, STRANGERS[stranger])
    missing = await call(api, route, {**theirs, "thread_id": f"thread_{'0' * 32}"}, STRANGERS[stranger])
    for answer in (response, missing):
        assert (answer.status_code, answer.json()["type"]) == (404, "thread_not_found")
    assert response.json()["detail"].replace(theirs["thread_id"], "") == missing.json()["detail"].replace(
        f"thread_{'0' * 32}", ""
    )


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("endpoint", ["invoke", "stream", "batch"])
async def test_strangers_cannot_ask_in_a_thread(
    api: httpx2.AsyncClient, theirs: dict[str, str], endpoint: str, stranger: str
) -> None:
    body = {**BODIES[endpoint], "thread_id": theirs["thread_id"]}
    response = await api.post(f"/api/{endpoint}", json=body, headers=STRANGERS[stranger])
    assert (response.status_code, response.json()["type"]) == (404, "thread_not_found")


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_strangers_lists_are_their_own(api: httpx2.AsyncClient, theirs: dict[str, str], stranger: str) -> None:
    assert (await api.get("/api/threads", headers=STRANGERS[stranger])).json()["threads"] == []
    assert [t["id"] for t in (await api.get("/api/threads", headers=AS_ANN)).json()["threads"]] == [theirs["thread_id"]]


async def test_credentials_come_before_the_body(api: httpx2.AsyncClient) -> None:
    for content, kind in ((b"{", "application/json"), (b"x" * 300_000, "application/json"), (b"x", "text/plain")):
        response = await api.post("/api/threads", content=content, headers={"Content-Type": kind})
        assert response.status_code == 401


async def test_a_key_without_scopes_may_do_nothing(api: httpx2.AsyncClient) -> None:
    response = await api.get("/api/threads", headers={"X-API-Key": POWERLESS})
    assert (response.status_code, response.json()["type"]) == (403, "missing_scope")
    assert 'scope="chat"' in response.headers["www-authenticate"]


async def test_only_admins_erase_and_see_their_tenants_usage(api: httpx2.AsyncClient, theirs: dict[str, str]) -> None:
    refused = await api.delete("/api/data", headers=AS_ANN)
    assert (refused.status_code, refused.json()["type"]) == (403, "missing_scope")
    assert 'scope="admin"' in refused.headers["www-authenticate"]
    assert (await api.get("/api/usage", headers=AS_ANN)).json()["tenant"] is None
    admin = {"X-API-Key": ADMIN, "X-User-Id": "ann"}
    assert (await api.get("/api/usage", headers=admin)).json()["tenant"]["turns_now"]["limit"] is None
    receipt = await api.delete("/api/data", headers=admin)
    assert receipt.status_code == 202
    while (await api.get(receipt.headers["location"], headers=admin)).json()["status"] == "running":
        await api.get("/api/health")
    assert (await api.get(f"/api/threads/{theirs['thread_id']}", headers=AS_ANN)).status_code == 404
    other = await api.get(receipt.headers["location"], headers={"X-API-Key": ADMIN, "X-User-Id": "bob"})
    assert other.status_code == 404


@pytest.mark.parametrize("user", ["", "x" * 129, "a\tb"])
async def test_a_user_that_cannot_be_one(api: httpx2.AsyncClient, user: str) -> None:
    response = await api.get("/api/threads", headers={"X-API-Key": ANN, "X-User-Id": user})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "header.X-User-Id"


async def test_without_a_user_the_key_is_its_own(api: httpx2.AsyncClient) -> None:
    created = await api.post("/api/threads", json={}, headers={"X-API-Key": ANN})
    same = await api.get(created.headers["location"], headers={"X-API-Key": ANN, "X-User-Id": "web"})
    assert same.status_code == 200


async def test_a_credential_whose_time_is_over_is_no_attempt_to_get_in(api: httpx2.AsyncClient) -> None:
    """A page of many users behind one address sends theirs before it asks for new ones."""
    statuses = [(await api.get("/api/info", headers={"X-API-Key": EXPIRED})).status_code for _ in range(25)]
    assert set(statuses) == {401}


async def test_failed_attempts_are_logged_clean_and_limited(api: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    statuses = [(await api.get("/api/info", headers={"X-API-Key": "sesame"})).status_code for _ in range(25)]
    assert statuses == [401] * 20 + [429] * 5
    assert (await api.get("/api/info", headers=AS_ANN)).status_code == 200
    refused = [record.getMessage() for record in caplog.records if "sign-in refused" in record.getMessage()]
    assert len(refused) == 20
    assert "unknown API key (address 127.0.0.1, request req_" in refused[0]
    assert "sesame" not in caplog.text


@pytest.fixture
async def authority() -> AsyncIterator[FakeEntra]:
    async with fake_entra() as fake:
        yield fake


async def test_tokens_and_keys_side_by_side(authority: FakeEntra, tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path,
        api_keys=KEYS,
        entra_tenant_ids=(TENANT,),
        entra_audience=AUDIENCE,
        entra_authority=authority.url,
        entra_required_permission="chat.access",
    )
    async with serve_api(settings) as api:
        signed_in = {"Authorization": f"Bearer {authority.token()}"}
        created = await api.post("/api/threads", json={}, headers=signed_in)
        assert created.status_code == 201
        path = created.headers["location"]
        assert (await api.get(path, headers={"Authorization": f"bearer {authority.token()}"})).status_code == 200
        assert (await api.get(path, headers=AS_ANN)).status_code == 404
        lacking = await api.get(path, headers={"Authorization": f"Bearer {authority.token(scp='other')}"})
        assert (lacking.status_code, lacking.json()["type"]) == (403, "missing_scope")
        assert 'scope="chat.access"' in lacking.headers["www-authenticate"]
        wrong = await api.get(path, headers={"Authorization": f"Bearer {authority.token(aud='x')}"})
        assert wrong.status_code == 401
        authority.status = 503
    async with serve_api(settings) as api:
        away = await api.get(path, headers=signed_in)
        assert (away.status_code, away.json()["type"]) == (503, "identity_unavailable")
        assert away.headers["retry-after"] == "5"


async def test_with_no_identity_only_this_machine_is_served(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path)) as api:
        assert (await api.get("/api/info")).status_code == 200
        for host in ("evil.example", "localhost.evil.example", "192.168.1.5:7071"):
            rebound = await api.get("/api/info", headers={"Host": host})
            assert (rebound.status_code, rebound.json()["type"]) == (401, "unauthenticated")
        for host in ("localhost", "127.0.0.1:7071", "[::1]:7071", "LOCALHOST:1"):
            assert (await api.get("/api/info", headers={"Host": host})).status_code == 200


async def test_what_the_openapi_document_says_of_it(api: httpx2.AsyncClient) -> None:
    document = (await api.get("/api/openapi.json")).json()
    assert document["components"]["securitySchemes"].keys() == {"apiKey", "bearer"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            secured = path not in PUBLIC
            assert (operation.get("security") == [{"apiKey": []}, {"bearer": []}]) == secured
            assert ({"401", "403", "429"} <= set(operation["responses"])) == secured


async def test_a_key_is_made_on_the_command_line(settings: Settings) -> None:
    process = await asyncio.create_subprocess_exec(
        "make", "-s", "api-key", "ARGS=web contoso --days 7", stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    output = (await process.communicate())[0].decode()
    key = re.search(r"^  (chat_[\w-]{43})$", output, re.MULTILINE)
    entry = re.search(r'^  (\{"name":"web".*\})$', output, re.MULTILINE)
    assert key
    assert entry
    async with serve_api(Settings.model_validate({"data_dir": settings.data_dir, "api_keys": f"[{entry[1]}]"})) as api:
        assert (await api.get("/api/info", headers={"X-API-Key": key[1]})).status_code == 200
