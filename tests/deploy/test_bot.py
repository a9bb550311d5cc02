"""What the bot of a deployment must do. Only Bot Service can talk to a deployed one: a conversation is had with one here."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest

from settings import Settings
from tests.deploy.waiting import START_SECONDS
from tests.fakes import activities
from tests.fakes.bot_service import fake_bot_service
from tests.fakes.connector import FakeClock, FakeConnector
from tests.support.bot import give_token, serve_bot

pytestmark = pytest.mark.timeout(START_SECONDS + 60)
# As the environment of azd says it; the hook passes it on.
HAS_BOT = os.environ.get("DEPLOY_BOT", "").lower() == "true"


@pytest.mark.parametrize("authorization", [None, "Bearer not.a.token", "Bearer e30.e30.e30"])
async def test_nobody_but_bot_service_tells_the_bot_anything(chat: httpx2.AsyncClient, authorization: str | None) -> None:
    chat.headers.pop("authorization", None)
    headers = {"Authorization": authorization} if authorization else {}
    activity = activities.message("https://smba.trafficmanager.net/emea/")
    answer = await chat.post("/api/messages", json=activity, headers=headers)
    assert answer.status_code == (401 if HAS_BOT else 404), answer.text


async def test_a_conversation_with_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_token(monkeypatch)
    async with fake_bot_service() as service, FakeConnector(FakeClock(patience=0.05)) as channel:
        settings = Settings(
            data_dir=tmp_path,
            bot_app_id=activities.APP_ID,
            bot_tenant_id=activities.TENANT,
            bot_openid_metadata=service.metadata,
        )
        async with serve_bot(settings, channel) as api:
            refused = await api.post("/api/messages", json=activities.message(channel.url))
            assert refused.status_code == 401
            headers = {"Authorization": f"Bearer {service.token(channel.url)}"}
            for number, text in enumerate(("What is 85 * 0.15?", "What is 2 + 2?")):
                sent = await api.post("/api/messages", json=activities.message(channel.url, text), headers=headers)
                assert sent.status_code == 202, sent.text
                await channel.until(lambda number=number: len(channel.shown) > number)  # type: ignore[misc]
    assert [text.rpartition("= ")[2] for text in channel.texts] == ["12.75", "4"]
    assert {each.authorization for each in channel.sent} == {"Bearer ours"}
