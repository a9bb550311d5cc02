"""The bot's activities count towards their owner's limits, as the API's requests do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from settings import Settings
from teams.messages import ENGLISH, LANGUAGES, problem_text
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.fakes.model import FakeModel, Reply
from tests.support.bot import ask, serve_bot, settled
from tests.support.instances import open_instances


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
        assert channel.texts[-1].startswith(ENGLISH["limit_requests"].partition("{")[0])
        assert (await api.get("/api/threads")).status_code == 429


async def test_the_days_tokens_are_named(tmp_path: Path, channel: FakeConnector) -> None:
    settings = Settings(data_dir=tmp_path, teams_local=True, limit_tokens_per_day=1)
    async with serve_bot(settings, channel) as api:
        await ask(api, channel, activities.message(channel.url, "What is 2 + 2?"))
        told = await ask(api, channel, activities.message(channel.url, "What is 2 + 3?"))
        assert told.startswith(ENGLISH["limit_tokens"].partition("{")[0])


@pytest.mark.parametrize(
    ("code", "words"), [("content_filter", "refused"), ("context_length_exceeded", "overflow"), ("rate_limit_exceeded", "busy")]
)
async def test_what_the_model_refuses_is_named(tmp_path: Path, channel: FakeConnector, code: str, words: str) -> None:
    status = 429 if code == "rate_limit_exceeded" else 400
    refusal = Reply(status=status, error={"message": "no", "type": "x", "code": code}, headers={"retry-after": "0"})
    async with FakeModel(refusal) as model:
        settings = Settings(data_dir=tmp_path, teams_local=True, openai_base_url=f"{model.url}/v1", openai_model="gpt-x")
        async with serve_bot(settings, channel) as api:
            await ask(api, channel, activities.message(channel.url, "Hello"))
            await settled(channel, api)
            assert channel.texts[-1].startswith(ENGLISH[words].partition("{")[0])


def test_every_limit_has_words_of_its_own_in_every_language() -> None:
    types = ("content_filtered", "context_overflow", "thread_full", "model_throttled", "model_unavailable")
    for strings in LANGUAGES.values():
        texts = {problem_text(strings, type, "req_1") for type in types}
        texts |= {problem_text(strings, "rate_limited", "req_1", limit) for limit in ("requests", "turns", "tokens")}
        assert len(texts) == len(types) + 3


async def test_nothing_is_said_of_what_is_too_long_and_was_not_for_the_bot(
    settings: Settings, channel: FakeConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_instances(settings, channel, monkeypatch) as instances:
        await instances.receive(activities.group_message(channel.url, "\u6f22" * 31_000, mention=False))
        await instances.run()
        assert channel.sent == []
        await instances.receive(activities.group_message(channel.url, "\u6f22" * 31_000))
        await channel.until(lambda: bool(channel.shown))
        assert "16000" in channel.texts[0]


async def test_a_reply_that_is_expected_in_the_response_is_not_waited_for_without_end(
    tmp_path: Path, channel: FakeConnector
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async with FakeModel(Reply(wait=never)) as model:
        settings = Settings(
            data_dir=tmp_path,
            teams_local=True,
            openai_base_url=f"{model.url}/v1",
            openai_model="gpt-x",
            batch_timeout_seconds=0.3,
        )
        async with serve_bot(settings, channel) as api:
            answer = await api.post(
                "/api/messages", json=activities.message(channel.url, "Hello", deliveryMode="expectReplies")
            )
            assert (answer.status_code, answer.json()["type"]) == (503, "busy")
