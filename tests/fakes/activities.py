"""Activities as Bot Service sends them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

Make = Callable[[str, str], dict[str, Any]]
TENANT = "8a1c8b5e-0000-4000-8000-000000000001"
APP_ID = "8a1c8b5e-0000-4000-8000-0000000000b0"
USER = "00000000-aaaa-4000-8000-000000000001"
BOT = {"id": f"28:{APP_ID}", "name": "Chat"}


def message(service_url: str, text: str | None = "hi", **changes: Any) -> dict[str, Any]:
    """Return a user's message in a personal chat of Teams; ``changes`` replace fields, ``None`` takes one out."""
    activity: dict[str, Any] = {
        "type": "message",
        "id": f"f:{uuid.uuid4()}",
        "timestamp": "2026-01-01T10:30:05.123Z",
        "channelId": "msteams",
        "serviceUrl": service_url,
        "from": {"id": "29:1ann", "name": "Ann Ash", "aadObjectId": USER},
        "conversation": {"id": "a:1;x@thread", "conversationType": "personal", "tenantId": TENANT},
        "recipient": BOT,
        "text": text,
        "textFormat": "plain",
        "locale": "en-US",
        "channelData": {"tenant": {"id": TENANT}},
        **changes,
    }
    return {name: value for name, value in activity.items() if value is not None}


def group_message(service_url: str, text: str, *, mention: bool = True, **changes: Any) -> dict[str, Any]:
    """Return a message in a group chat of Teams, or where ``changes`` say."""
    entities = [{"type": "mention", "mentioned": BOT, "text": "<at>Chat</at>"}] if mention else []
    conversation = {"id": "19:group@thread.v2", "conversationType": "groupChat", "isGroup": True, "tenantId": TENANT}
    said = f"<at>Chat</at> {text}" if mention else text
    return message(service_url, said, **{"conversation": conversation, "entities": entities, **changes})


def in_team(team: str, conversation: str) -> dict[str, Any]:
    """Return the fields of what comes from a team: of a chain of replies in one of its channels, or of the team itself."""
    return {
        "conversation": {"id": conversation, "conversationType": "channel", "isGroup": True, "tenantId": TENANT},
        "channelData": {"tenant": {"id": TENANT}, "team": {"id": team, "name": "Sales"}},
    }


def web_chat(service_url: str, text: str = "hi", **changes: Any) -> dict[str, Any]:
    """Return a message from a web page, whose sender may say whatever it likes about itself."""
    sender = {"id": "dl_ann", "name": "Ann", "aadObjectId": USER}
    fields = {"channelId": "webchat", "conversation": {"id": "abc-eu"}, "from": sender, "channelData": {}, **changes}
    return message(service_url, text, **fields)
