"""How telemetry names owners (audit L12)."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from models import Owner
from settings import Settings
from tests.support.collected import Collected
from tests.support.server import serve_api

LOCAL = Owner("local", "local")


async def names_of_local(collected: Collected, settings: Settings) -> set[str]:
    """Return the names that spans and lines have for who asks the API on this machine."""
    async with serve_api(settings) as api:
        thread = (await api.post("/api/threads", json={})).json()
        answer = await api.post(f"/api/threads/{thread['id']}/messages", json={"content": "hi"})
        assert answer.status_code == 200
    turns = [dict(span.attributes or {}) for span in collected.named("chat.turn")]
    return {str(turn["chat.owner.hash"]) for turn in turns} | {line["owner_hash"] for line in collected.lines("request")}


async def test_the_owners_hash_in_telemetry_has_a_key(collected: Collected, tmp_path: Path) -> None:
    keyed = Settings.model_validate({"data_dir": tmp_path, "telemetry_hash_key": "k" * 32})
    expected = hmac.digest(b"k" * 32, b'["local","local"]', hashlib.sha256).hex()
    assert await names_of_local(collected, keyed) == {expected}
    assert LOCAL.hash not in collected.everything()


async def test_without_a_key_the_owners_hash_has_a_random_one(collected: Collected, tmp_path: Path) -> None:
    [name] = await names_of_local(collected, Settings(data_dir=tmp_path))
    assert (len(name), name == LOCAL.hash) == (64, False)
    assert LOCAL.hash not in collected.everything()
