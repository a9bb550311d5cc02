"""What is told of a turn whose thread is named by a session id."""

from __future__ import annotations

from pathlib import Path

from settings import Settings
from tests.support.collected import Collected
from tests.support.server import serve_api


async def test_a_refused_turn_of_a_session_says_which_thread_that_is(collected: Collected, tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, limit_messages_per_thread=2)) as api:
        for status in (200, 409):
            asked = await api.post("/api/invoke", json={"user_input": "What is 2 + 2?", "thread_id": "trip"})
            assert asked.status_code == status
    answered, refused = [dict(turn.attributes or {}) for turn in collected.named("chat.turn")]
    assert (answered["chat.turn.status"], refused["error.type"]) == ("completed", "thread_full")
    assert answered["chat.thread.id"] == refused["chat.thread.id"]
