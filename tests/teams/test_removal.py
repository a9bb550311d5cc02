"""What was written in a group goes when the bot is removed from it; a person's own chat stays (audit M13)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from identity.authenticator import LOCAL_OWNER
from models import Owner, utcnow
from settings import Settings
from stores.sqlite.store import SqliteStore
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.bot import ask, post, serve_bot, settled

GROUP = {"id": "19:group@thread.v2", "conversationType": "groupChat", "isGroup": True, "tenantId": activities.TENANT}
REMOVALS: dict[str, dict[str, Any]] = {
    "an update of the installation": {"type": "installationUpdate", "action": "remove"},
    "an update of the conversation": {"type": "conversationUpdate", "membersRemoved": [activities.BOT]},
}


async def owners(folder: Path) -> list[Owner]:
    """Return the owners of all threads."""
    async with SqliteStore(folder / "chat.db") as store:
        return sorted({found.owner for found in await store.idle_threads(since=utcnow(), limit=10)})


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=list(REMOVALS))
async def test_a_removed_bot_forgets_the_group_and_nothing_else(
    tmp_path: Path, channel: FakeConnector, removal: dict[str, Any]
) -> None:
    mention = {"type": "mention", "text": "<at>bot</at>", "mentioned": activities.BOT}
    async with serve_bot(Settings(data_dir=tmp_path, teams_local=True), channel) as api:
        url = channel.url
        await ask(api, channel, activities.message(url, "What is 2 + 2?"))
        in_group = activities.message(url, "<at>bot</at> What is 3 + 3?", conversation=GROUP, entities=[mention])
        await ask(api, channel, in_group)
        await settled(channel, api)
        before = await owners(tmp_path)
        assert [owner.is_conversation for owner in before] == [True, False]
        left = activities.message(url, None, conversation=GROUP, **removal)
        # Somebody else who leaves is no reason; and a delivery that is repeated does no harm.
        other = {"id": "29:1bob"}
        await post(api, activities.message(url, None, conversation=GROUP, type="conversationUpdate", membersRemoved=[other]))
        await settled(channel, api)
        assert await owners(tmp_path) == before
        for _ in range(2):
            await post(api, left)
            await settled(channel, api)
        await post(api, activities.message(url, None, **removal))
        await settled(channel, api)
        while len(await owners(tmp_path)) > 1:
            pass
    assert await owners(tmp_path) == [LOCAL_OWNER]
