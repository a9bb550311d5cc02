"""How to reach a conversation later, and the activity that asks for a reply to be shown there."""

from __future__ import annotations

import re
from typing import Any

from microsoft_agents.activity import Activity

from errors import InvalidActivity
from models import MESSAGE_ID_PATTERN
from teams.activity import REPLY_EVENT, Incoming, parse_activity, recipient_id

CONVERSATION_FIELDS = ("id", "conversationType", "tenantId", "isGroup")


def conversation_reference(incoming: Incoming) -> dict[str, Any]:
    """Return what is needed to say something in an activity's conversation later: its fields that name the conversation.

    A person is among them only where they own the conversation.
    """
    activity = incoming.activity
    bot = {"id": recipient_id(activity)}
    person = {"id": activity.from_property.id, "aadObjectId": activity.from_property.aad_object_id}
    conversation = activity.conversation.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    return {
        "channelId": str(activity.channel_id),
        "serviceUrl": activity.service_url,
        "conversation": {name: conversation[name] for name in CONVERSATION_FIELDS if name in conversation},
        "recipient": bot,
        "from": bot if incoming.owner.is_conversation else person,
        **({"locale": activity.locale} if activity.locale else {}),
    }


def reply_activity(reference: dict[str, Any], message_id: str) -> Activity:
    """Return the activity that asks for a reply to be shown in a conversation."""
    return parse_activity(
        {**reference, "type": "event", "name": REPLY_EVENT, "id": f"reply-{message_id}", "value": {"message_id": message_id}}
    )


def reply_place(incoming: Incoming) -> tuple[str, int]:
    """Return the thread and the place in it of the reply that an activity of :func:`reply_activity` asks for.

    :raises InvalidActivity: if it is not such an activity.
    """
    value = incoming.activity.value
    parts = re.fullmatch(MESSAGE_ID_PATTERN, str(value.get("message_id"))) if isinstance(value, dict) else None
    if parts is None:
        raise InvalidActivity("names no reply")
    _, thread_hex, seq = parts[0].split("_")
    return f"thread_{thread_hex}", int(seq)
