"""The bot's activities count towards their owner's limits, as the API's requests do."""

from __future__ import annotations

from pathlib import Path

from settings import Settings
from teams.messages import ENGLISH
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.bot import serve_bot


async def test_each_activity_of_the_bot_is_a_request_and_leaves_no_thread_over_the_limit(
    tmp_path: Path, channel: FakeConnector
) -> None:
    settings = Settings(data_dir=tmp_path, teams_local=True, limit_requests_per_minute=3)
    async with serve_bot(settings, channel) as api:
        for text, answer in (("What is 2 + 2?", "2 + 2 = 4"), ("/new", None), ("What is 2 + 3?", "2 + 3 = 5")):
            before = len(channel.shown)
            await api.post("/api/messages", json=activities.message(channel.url, text))
            await channel.until(lambda before=before: len(channel.shown) > before)  # type: ignore[misc]
            assert answer is None or answer in channel.texts[-1]
        before = len(channel.shown)
        await api.post("/api/messages", json=activities.message(channel.url, "What is 2 + 4?"))
        await channel.until(lambda: len(channel.shown) > before)
        assert channel.texts[-1].startswith(ENGLISH["busy"].partition("{")[0])
        assert (await api.get("/api/threads")).status_code == 429
