"""The bot on Azure: accepted into a Storage queue, answered by a queue-triggered function in the real runtime."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from azure.storage.queue.aio import QueueClient

from models import Owner
from services.intervals import Intervals
from stores.sqlite.store import SqliteStore
from tests.fakes import activities
from tests.fakes.activities import APP_ID, TENANT, USER
from tests.fakes.azurite import azurite_queue, needs_azurite
from tests.fakes.bot_service import FakeBotService, fake_bot_service
from tests.fakes.connector import BROKEN, FakeClock, FakeConnector
from tests.fakes.functions_host import FunctionsHost, needs_runtime, start_host
from tests.support.bot import give_token

pytestmark = [needs_runtime, needs_azurite]
ROOT = Path(__file__).parents[2]
OWNER = Owner(TENANT, USER)


@pytest.fixture
async def bot_service() -> AsyncIterator[FakeBotService]:
    async with fake_bot_service() as fake:
        yield fake


@pytest.fixture
async def channel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeConnector]:
    give_token(monkeypatch)
    async with FakeConnector(FakeClock(patience=0.05)) as channel:
        yield channel


@pytest.fixture
async def queue(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[QueueClient]:
    async with azurite_queue("activities") as (url, client):
        monkeypatch.setenv("BOT_QUEUE_URL", url)
        yield client


@pytest.fixture
async def host(
    queue: QueueClient,
    bot_service: FakeBotService,
    channel: FakeConnector,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[FunctionsHost]:
    for name in ("AZURE_OPENAI_ENDPOINT", "OPENAI_API_KEY", "OPENAI_BASE_URL", "COSMOS_ENDPOINT", "WEBSITE_SITE_NAME"):
        monkeypatch.delenv(name, raising=False)
    environment = {
        "DATA_DIR": str(tmp_path),
        "BOT_APP_ID": APP_ID,
        "BOT_TENANT_ID": TENANT,
        "BOT_OPENID_METADATA": bot_service.metadata,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with start_host(ROOT, "function_app.py", intervals=Intervals(bot_clock=channel.clock)) as host:
        yield host


async def accept(host: FunctionsHost, bot_service: FakeBotService, activity: dict[str, Any]) -> int:
    headers = {"Authorization": f"Bearer {bot_service.token(activity['serviceUrl'])}", "X-Request-ID": "req_9"}
    async with httpx2.AsyncClient(transport=host, base_url="http://localhost") as client:
        return (await client.post("/api/messages", json=activity, headers=headers)).status_code


async def take(queue: QueueClient) -> str:
    """Take a message out of the queue as the host does."""
    message = await queue.receive_message()
    assert message is not None
    assert message.expires_on.year == 9999  # type: ignore[union-attr] # it never expires
    return str(message.content)


async def test_an_activity_goes_through_the_queue(
    host: FunctionsHost, bot_service: FakeBotService, channel: FakeConnector, queue: QueueClient, tmp_path: Path
) -> None:
    trigger = host.triggered["teams_activity"].trigger
    assert (trigger["queueName"], trigger["connection"]) == ("activities", "AzureWebJobsStorage")
    assert host.triggered["teams_activity_lost"].trigger["queueName"] == "activities-poison"
    assert await accept(host, bot_service, activities.message(channel.url, "What is a 15% tip on $85?", attachments=[])) == 202
    await channel.until(lambda: channel.kinds == ["typing"])
    payload = await take(queue)
    assert json.loads(payload)["request_id"] == "req_9"
    result = await host.deliver("teams_activity", payload)
    assert result.status == "Success", result.exception
    assert "12.75" in channel.texts[0]
    sent = len(channel.sent)
    for _ in range(2):
        assert (await host.deliver("teams_activity", payload, attempt=2)).status == "Success"
    assert len(channel.sent) == sent
    async with SqliteStore(tmp_path / "chat.db") as store:
        (thread,) = (await store.list_threads(OWNER, status=None, limit=10, cursor=None)).items
        assert thread.message_count == 2


async def test_an_answer_that_was_not_delivered_is_delivered_later(
    host: FunctionsHost,
    bot_service: FakeBotService,
    channel: FakeConnector,
    queue: QueueClient,
    tmp_path: Path,
) -> None:
    assert await accept(host, bot_service, activities.message(channel.url, "What is a 15% tip on $85?")) == 202
    await channel.until(lambda: channel.kinds == ["typing"])
    payload = await take(queue)
    channel.faults = [BROKEN] * 12
    assert (await host.deliver("teams_activity", payload)).status == "Success"
    # It was put back, for later.
    assert (await queue.get_queue_properties()).approximate_message_count == 2
    channel.faults = []
    assert (await host.deliver("teams_activity", payload)).status == "Success"
    assert len(channel.shown) == 1
    assert "12.75" in channel.texts[0]
    async with SqliteStore(tmp_path / "chat.db") as store:
        (thread,) = (await store.list_threads(OWNER, status=None, limit=10, cursor=None)).items
        assert thread.message_count == 2


async def test_who_cannot_be_answered_is_told(
    host: FunctionsHost, bot_service: FakeBotService, channel: FakeConnector, queue: QueueClient
) -> None:
    assert await accept(host, bot_service, activities.message(channel.url, "hi", locale="fr-FR")) == 202
    payload = await take(queue)
    assert (await host.deliver("teams_activity_lost", payload)).status == "Success"
    assert channel.texts == ["Désolé, je n’ai pas pu répondre à votre message malgré plusieurs essais. (Référence : req_9)"]


async def test_what_nobody_put_there_is_a_failure(host: FunctionsHost, channel: FakeConnector) -> None:
    forged = json.dumps({"activity": activities.message("https://evil.example/"), "request_id": "x"})
    for payload in ("", "{", "[]", forged):
        assert (await host.deliver("teams_activity", payload)).status == "Failure"
        # The poison queue has no poison queue: there it is dropped.
        assert (await host.deliver("teams_activity_lost", payload)).status == "Success"
    assert channel.sent == []


async def test_what_does_not_fit_into_the_queue_is_refused_kindly(
    host: FunctionsHost, bot_service: FakeBotService, channel: FakeConnector, queue: QueueClient
) -> None:
    assert await accept(host, bot_service, activities.message(channel.url, "漢" * 31_000)) == 202
    await channel.until(lambda: bool(channel.shown))
    # What fits: each of these letters takes three bytes.
    assert "16000" in channel.texts[0]
    assert await queue.receive_message() is None


async def test_a_queue_that_is_down_is_not_accepted(
    host: FunctionsHost, bot_service: FakeBotService, channel: FakeConnector, queue: QueueClient
) -> None:
    await queue.delete_queue()
    assert await accept(host, bot_service, activities.message(channel.url, "hi")) == 503


async def test_two_instances_at_once_answer_once(
    host: FunctionsHost, bot_service: FakeBotService, channel: FakeConnector, queue: QueueClient
) -> None:
    assert await accept(host, bot_service, activities.message(channel.url, "Tell me a joke")) == 202
    payload = await take(queue)
    results = await asyncio.gather(*(host.deliver("teams_activity", payload) for _ in range(3)))
    assert {result.status for result in results} == {"Success"}
    assert len(channel.shown) == 1


async def test_a_message_that_comes_before_its_turn_is_put_back(
    host: FunctionsHost, bot_service: FakeBotService, channel: FakeConnector, queue: QueueClient
) -> None:
    for text in ("What is 1 + 1?", "What is 2 + 2?"):
        assert await accept(host, bot_service, activities.message(channel.url, text)) == 202
    first, second = await take(queue), await take(queue)
    assert (await host.deliver("teams_activity", second)).status == "Success"
    assert channel.shown == {}
    # Beside the two that were taken, and not deleted, one that cannot be seen yet.
    assert (await queue.get_queue_properties()).approximate_message_count == 3
    assert await queue.receive_message() is None
    for payload in (first, second):
        assert (await host.deliver("teams_activity", payload)).status == "Success"
    assert [text.rpartition("= ")[2] for text in channel.texts] == ["2", "4"]
