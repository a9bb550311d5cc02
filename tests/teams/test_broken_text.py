"""Activities with text that no UTF-8 can hold."""

from __future__ import annotations

import json
from pathlib import Path

from settings import Settings
from teams.activity import parse_activity, to_incoming
from tests.fakes import activities
from tests.fakes.connector import FakeConnector
from tests.support.bot import serve_bot

LONE = "\ud800"


async def test_a_message_with_a_lone_surrogate_is_answered(channel: FakeConnector, tmp_path: Path) -> None:
    """Audit H2."""
    activity = activities.message(channel.url, f"Tell me a joke {LONE}", locale="en-US", replyToId=LONE)
    activity["from"]["name"] = f"Ann {LONE}"
    async with serve_bot(Settings(data_dir=tmp_path, teams_local=True), channel) as api:
        headers = {"content-type": "application/json"}
        accepted = await api.post("/api/messages", content=json.dumps(activity).encode("ascii"), headers=headers)
        assert accepted.status_code == 202
        await channel.until(lambda: bool(channel.shown))
        assert "expired" in channel.texts[-1]
        (thread,) = (await api.get("/api/threads")).json()["threads"]
        found = (await api.get(f"/api/threads/{thread['id']}/messages")).json()["messages"]
        assert found[0]["content"] == "Tell me a joke \ufffd"


def test_an_activity_that_was_queued_before_is_mended_where_it_is_taken_out() -> None:
    """Audit H2: the queue's messages are ASCII, so a lone surrogate survives in them."""
    queued = json.dumps(activities.group_message("https://smba.trafficmanager.net/emea/", f"hi {LONE}", id=f"f:{LONE}"))
    incoming = to_incoming(
        parse_activity(json.loads(queued)), Settings(bot_app_id=activities.APP_ID, bot_tenant_id=activities.TENANT)
    )
    assert (incoming.activity.text, incoming.activity.id) == ("<at>Chat</at> hi \ufffd", "f:\ufffd")
    incoming.activity.model_dump_json()
