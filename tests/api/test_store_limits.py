"""How many threads an owner may have, and messages a thread, as callers meet it (audit L10)."""

from __future__ import annotations

from pathlib import Path

from settings import Settings
from tests.support.server import serve_api


async def test_one_thread_too_many_is_rate_limited(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, limit_threads=1)) as api:
        thread = (await api.post("/api/threads", json={})).json()
        refusals = [
            await api.post("/api/threads", json={}),
            await api.post("/api/invoke", json={"user_input": "Tell me a joke"}),
            await api.post("/api/invoke", json={"user_input": "Tell me a joke", "thread_id": "mine"}),
        ]
        assert [(each.status_code, each.json()["type"]) for each in refusals] == [(429, "rate_limited")] * 3
        assert {each.headers["retry-after"] for each in refusals} == {"3600"}
        assert (await api.delete(f"/api/threads/{thread['id']}")).status_code == 204
        assert (await api.post("/api/threads", json={})).status_code == 201


async def test_one_message_too_many_is_a_full_thread(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, limit_messages_per_thread=2)) as api:
        path = f"/api/threads/{(await api.post('/api/threads', json={})).json()['id']}/messages"
        first = await api.post(path, json={"content": "Tell me a joke"}, headers={"idempotency-key": "k"})
        refused = await api.post(path, json={"content": "And another"})
        assert (refused.status_code, refused.json()["type"], refused.json()["retryable"]) == (409, "thread_full", False)
        assert "retry-after" not in refused.headers
        again = await api.post(path, json={"content": "Tell me a joke"}, headers={"idempotency-key": "k"})
        assert (again.status_code, again.json()) == (200, first.json())
