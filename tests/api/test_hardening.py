"""What every response carries, who may call from the web, and bodies that never end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from services.intervals import Intervals
from settings import Settings
from tests.support.server import serve_api

PATHS = ["/", "/web/page.js", "/api/docs", "/api/health", "/api/threads", "/api/nothing", "/api/openapi.json"]


@pytest.mark.parametrize("path", PATHS)
async def test_every_response_is_guarded(api: httpx2.AsyncClient, path: str) -> None:
    headers = (await api.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe-inline" not in headers["content-security-policy"]
    assert headers["cache-control"] == ("no-store" if path.startswith("/api/") and "docs" not in path else "no-cache")
    assert "strict-transport-security" not in headers
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


async def test_no_web_page_elsewhere_may_call(api: httpx2.AsyncClient) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert (await api.options("/api/threads", headers=headers)).status_code == 405
    assert "access-control-allow-origin" not in (await api.get("/api/threads", headers=headers)).headers


async def test_the_origins_of_the_setting_may_call(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, cors_origins=("https://app.example.com",))
    async with serve_api(settings) as api:
        ask = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-api-key, content-type, idempotency-key",
        }
        allowed = await api.options("/api/threads", headers={"Origin": "https://app.example.com", **ask})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://app.example.com")
        refused = await api.options("/api/threads", headers={"Origin": "https://evil.example", **ask})
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers
        answer = await api.get("/api/threads", headers={"Origin": "https://app.example.com"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


async def test_a_body_that_does_not_come_is_not_waited_for(settings: Settings) -> None:
    async with serve_api(settings, Intervals(body=0.05)) as api:
        reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
        head = "POST /api/threads HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        writer.write(head.encode())
        answer = (await reader.read()).decode()
        writer.close()
    assert answer.startswith("HTTP/1.1 408 ")
    assert '"type":"body_too_slow"' in answer


async def test_a_busy_process_says_so(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, process_max_turns=1)
    async with serve_api(settings) as api:
        answers = await asyncio.gather(*(api.post("/api/invoke", json={"user_input": "hi"}) for _ in range(20)))
    busy = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    assert {answer.json()["type"] for answer in busy} == {"busy"}
    assert {answer.headers["retry-after"] for answer in busy} == {"1"}


async def test_limits_are_told_with_every_answer(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, limit_requests_per_minute=3, tenant_limit_requests_per_minute=100)
    async with serve_api(settings) as api:
        first = await api.get("/api/threads")
        assert first.headers["ratelimit-policy"] == '"owner";q=3;w=60, "tenant";q=100;w=60'
        assert first.headers["ratelimit"].startswith('"owner";r=2;t=')
        usage = (await api.get("/api/usage")).json()
        assert usage["owner"]["requests_last_minute"] == {"used": 2, "limit": 3}
        assert usage["tenant"]["requests_last_minute"] == {"used": 2, "limit": 100}
        await api.get("/api/threads")
        refused = await api.get("/api/threads")
        assert (refused.status_code, refused.json()["type"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit"].startswith('"owner";r=0;t=')
        assert (await api.get("/api/health")).status_code == 200


async def test_tokens_are_counted_and_limited(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, limit_tokens_per_day=30)) as api:
        answer = (await api.post("/api/invoke", json={"user_input": "Tell me a joke"})).json()
        message = (await api.get(f"/api/threads/{answer['thread_id']}/messages")).json()["messages"][-1]
        used = sum(message["metadata"]["usage"].values())
        owner = (await api.get("/api/usage")).json()["owner"]
        assert owner["tokens_today"] == {"used": used, "limit": 30}
        while (refused := await api.post("/api/invoke", json={"user_input": "Tell me a joke"})).status_code == 200:
            pass
        assert (refused.status_code, refused.json()["type"]) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) > 60
