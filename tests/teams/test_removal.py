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
from tests.support.calls import Calls, watch

GROUP = {"id": "19:group@thread.v2", "conversationType": "groupChat", "isGroup": True, "tenantId": activities.TENANT}
REMOVALS: dict[str, dict[str, Any]] = {
    "an update of the installation": {"type": "installationUpdate", "action": "remove"},
    "an update of the conversation": {"type": "conversationUpdate", "membersRemoved": [activities.BOT]},
}


@pytest.fixture
def completions(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return watch(monkeypatch, SqliteStore, "complete_erasure")


async def owners(folder: Path) -> list[Owner]:
    """Return the owners of all threads."""
    async with SqliteStore(folder / "chat.db") as store:
        return sorted({found.owner for found in await store.idle_threads(since=utcnow(), limit=10)})


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=list(REMOVALS))
async def test_a_removed_bot_forgets_the_group_and_nothing_else(
    tmp_path: Path, channel: FakeConnector, completions: Calls, removal: dict[str, Any]
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
        await completions.at_least(1)
    assert await owners(tmp_path) == [LOCAL_OWNER]


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=list(REMOVALS))
async def test_a_bot_removed_from_a_team_forgets_each_chain_of_replies_there(
    tmp_path: Path, channel: FakeConnector, completions: Calls, removal: dict[str, Any]
) -> None:
    """The removal names the team, and none of the chains."""
    async with serve_bot(Settings(data_dir=tmp_path, teams_local=True), channel) as api:
        chains = [("19:sales@thread.tacv2", "19:sales@thread.tacv2;messageid=1")]
        chains += [("19:sales@thread.tacv2", f"19:plans@thread.tacv2;messageid={number}") for number in (2, 3)]
        chains += [("19:other@thread.tacv2", "19:other@thread.tacv2;messageid=4")]
        for team, chain in chains:
            await ask(api, channel, activities.group_message(channel.url, "What is 2 + 2?", **activities.in_team(team, chain)))
            await settled(channel, api)
        await ask(api, channel, activities.group_message(channel.url, "What is 2 + 2?"))
        await ask(api, channel, activities.message(channel.url, "What is 2 + 2?"))
        await settled(channel, api)
        assert len(await owners(tmp_path)) == 6
        sales, other = (activities.in_team(team, team) for team in ("19:sales@thread.tacv2", "19:other@thread.tacv2"))
        await post(api, activities.message(channel.url, None, **sales, **removal))
        await settled(channel, api)
        # Of the three chains, and of the team as a conversation.
        await completions.at_least(4)
        assert len(await owners(tmp_path)) == 3
        await post(api, activities.message(channel.url, None, **other, **removal))
        await settled(channel, api)
        await completions.at_least(6)
        assert len(await owners(tmp_path)) == 2


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=list(REMOVALS))
async def test_a_removal_that_is_told_again_takes_nothing_that_was_written_since_the_bot_came_back(
    tmp_path: Path, channel: FakeConnector, completions: Calls, removal: dict[str, Any]
) -> None:
    async with serve_bot(Settings(data_dir=tmp_path, teams_local=True), channel) as api:
        moments = (f"2026-01-01T10:30:0{second}.000Z" for second in range(9))

        async def say() -> None:
            await ask(api, channel, activities.group_message(channel.url, "What is 2 + 2?", timestamp=next(moments)))
            await settled(channel, api)

        await say()
        left = activities.message(channel.url, None, conversation=GROUP, timestamp=next(moments), **removal)
        await post(api, left)
        await settled(channel, api)
        await completions.at_least(1)
        assert await owners(tmp_path) == []
        await say()
        await post(api, left)
        await settled(channel, api)
        assert len(await owners(tmp_path)) == 1
        await post(api, {**left, "id": "f:later", "timestamp": next(moments)})
        await settled(channel, api)
        await completions.at_least(2)
    assert await owners(tmp_path) == []
