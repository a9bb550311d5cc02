"""What somebody is offered who was here before, and what a developer sees of an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from settings import Settings
from teams.messages import ENGLISH
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.fakes.model import FakeModel, Reply
from tests.support.bot import ask, messages, serve_bot, settled, threads

ADDED: dict[str, Any] = {"type": "conversationUpdate", "text": None, "membersAdded": [activities.BOT]}


def offered(channel: FakeConnector) -> list[str]:
    *_, last = channel.shown.values()
    return [action["value"] for action in last.get("suggestedActions", {}).get("actions", [])]


async def test_who_was_here_before_may_start_afresh(api: httpx2.AsyncClient, channel: FakeConnector) -> None:
    await ask(api, channel, activities.message(channel.url, **ADDED))
    assert offered(channel) == []
    await ask(api, channel, activities.message(channel.url, "/units imperial"))
    await ask(api, channel, activities.message(channel.url, "What is 2 + 2?"))
    await ask(api, channel, activities.message(channel.url, **ADDED))
    assert offered(channel) == ["/reset"]
    assert await ask(api, channel, activities.message(channel.url, offered(channel)[0])) == ENGLISH["new"]
    await ask(api, channel, activities.message(channel.url, "What is 2 + 3?"))
    await settled(channel, api)
    said = [(await messages(api, each["id"]))[0] for each in await threads(api)]
    assert {each["content"]: each["metadata"] for each in said} == {
        "What is 2 + 2?": {"channel": "msteams", "units": "imperial"},
        "What is 2 + 3?": {"channel": "msteams"},
    }


async def test_the_emulator_sees_why_and_nobody_else_does(tmp_path: Path, channel: FakeConnector) -> None:
    refusal = Reply(status=401, error={"message": "a secret", "type": "x", "code": "invalid_api_key"})
    async with FakeModel(refusal) as model:
        settings = Settings(data_dir=tmp_path, teams_local=True, openai_base_url=f"{model.url}/v1", openai_model="gpt-x")
        async with serve_bot(settings, channel) as api:
            for name in ("emulator", "webchat", "msteams"):
                await ask(api, channel, activities.message(channel.url, "Hello", channelId=name, conversation={"id": name}))
                await settled(channel, api)
            traces = [each.activity for each in channel.sent if each.activity["type"] == "trace"]
            assert [trace["channelId"] for trace in traces] == ["emulator"]
            assert traces[0]["value"].startswith("model_misconfigured")
