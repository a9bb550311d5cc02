"""An activity that came in: parsed, checked, and seen as what it means here."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from microsoft_agents.activity import Activity, ChannelId, DeliveryModes
from pydantic_core import to_json

from agent.text import storable
from errors import InvalidActivity, Unauthenticated
from identity.authenticator import LOCAL_OWNER
from models import CONVERSATIONS, Owner
from settings import Settings
from teams.tokens import Origin, is_service_url

MAX_AUTHOR = 64
REPLY_EVENT = "agent/reply"
# In the value of a message that a card's button sends.
DECISION = "agent_decision"
MAX_AUTHOR_ID = 256
OPAQUE = ("value", "channelData", "content")
# The SDK logs what it cannot parse, contents included, and each refusal of a channel, with the conversation's id; what is
# worth a line is logged here.
logging.getLogger("microsoft_agents").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Incoming:
    """An activity, and what follows from it alone.

    ``owner`` owns the conversation's threads: a Teams user's own chat is the user's; groups and the other channels, which
    let anybody say who they are, are owned by the conversation itself. ``key`` is the same for a redelivered activity;
    ``conversation_key`` names the conversation, or what one member of a group has with the bot in private there. Both are
    hashes: the ids hold characters that keys must not.
    """

    activity: Activity
    owner: Owner
    key: str
    conversation_key: str

    @property
    def is_personal(self) -> bool:
        """Whether it comes from a chat of one person with the bot."""
        return not is_group(self.activity)

    @property
    def is_addressed(self) -> bool:
        """Whether it is a message that the bot is to answer, or a correction: Teams also tells what others say in a channel."""
        to_bot = is_mentioned(self.activity) or self.is_decision or self.is_private
        asks = self.is_personal or self.channel != "msteams" or to_bot
        return (self.activity.type == "message" or is_edited(self.activity)) and asks

    @property
    def is_private(self) -> bool:
        """Whether it was written in a group for the bot alone: then nobody else may read the answer."""
        return is_private(self.activity)

    @property
    def is_decision(self) -> bool:
        """Whether it comes from a button of a card that asks: nobody is mentioned then."""
        return decision_value(self.activity) is not None

    @property
    def is_reply(self) -> bool:
        """Whether it asks for a reply to be shown that is in its thread; no channel sends such.

        :func:`teams.references.reply_activity` makes them.
        """
        return self.activity.type == "event" and self.activity.name == REPLY_EVENT

    @property
    def is_ordered(self) -> bool:
        """Whether it has a place in the order of its conversation."""
        return self.is_addressed or self.is_reply

    @property
    def channel(self) -> str:
        """The channel without its sub-channel: ``msteams``, ``webchat``, …"""
        return str(ChannelId(self.activity.channel_id).channel) if self.activity.channel_id else ""

    @property
    def team_key(self) -> str | None:
        """The team that a conversation is in, as a hash: each chain of replies in a channel is a conversation of its own."""
        data = self.activity.channel_data
        team = data.get("team") if isinstance(data, dict) and _is_teams(self.activity) else None
        id = team.get("id") if isinstance(team, dict) else None
        return _hash(self.owner.tenant, id) if isinstance(id, str) and id and self.owner.is_conversation else None

    @property
    def author(self) -> str | None:
        """The sender's name on one line, for conversations with several people in them."""
        name = " ".join((getattr(self.activity.from_property, "name", None) or "").replace(":", " ").split())
        return name[:MAX_AUTHOR] or None

    @property
    def author_id(self) -> str:
        """Who the sender is: a user of Entra ID by the object id, anybody else by the channel's own id."""
        sender = self.activity.from_property
        return ((sender.aad_object_id or "").lower() or sender.id or "")[:MAX_AUTHOR_ID]

    @property
    def expects_replies(self) -> bool:
        """Whether the answer must come in the response of the request."""
        return self.activity.delivery_mode == DeliveryModes.expect_replies


def parse_activity(body: Any) -> Activity:
    """Read an activity from JSON.

    :raises InvalidActivity: if it is none, or lacks what every activity that is worked on has.
    """
    if not isinstance(body, dict):
        raise InvalidActivity("not a JSON object")
    try:
        activity = Activity.model_validate(_without_empty(storable(body)))
    except Exception as error:  # the SDK's validators raise anything, Exception itself included
        raise InvalidActivity(f"not an activity: {type(error).__name__}") from error
    if not activity.conversation or not activity.conversation.id:
        raise InvalidActivity("no conversation.id")
    if not activity.channel_id or not activity.service_url or not activity.recipient or not activity.from_property:
        raise InvalidActivity("no channelId, serviceUrl, recipient or from")
    if not activity.id and activity.type in ("message", "messageUpdate"):
        raise InvalidActivity("a message without id")
    return activity


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out fields that are there and say nothing, which the SDK refuses; what the sender made up stays as it is."""
    kept: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None or value == "":
            continue
        if name in OPAQUE:
            kept[name] = value
        elif isinstance(value, dict):
            kept[name] = _without_empty(value)
        elif isinstance(value, list):
            each_kept = [_without_empty(each) if isinstance(each, dict) else each for each in value if each is not None]
            # An attachment without a type is nothing that could be shown or named.
            kept[name] = [
                each for each in each_kept if name != "attachments" or not isinstance(each, dict) or "contentType" in each
            ]
        else:
            kept[name] = value
    return kept


def check_origin(activity: Activity, origin: Origin | None, settings: Settings) -> None:
    """Refuse an activity that does not come from where its token says, or asks for answers to be sent elsewhere.

    ``origin`` is the token's; ``None`` on this machine, where there are no tokens.

    :raises InvalidActivity: naming what is wrong.
    :raises Unauthenticated: if the token's key does not speak for the activity's channel.
    """
    if origin and origin.endorsements is not None and str(ChannelId(activity.channel_id).channel) not in origin.endorsements:
        raise Unauthenticated("the token's key is not endorsed for the channel")
    if origin and activity.service_url.rstrip("/") != origin.service_url.rstrip("/"):
        raise InvalidActivity("the service URL is not the token's")
    if not is_service_url(activity.service_url, settings):
        raise InvalidActivity("the service URL is not one of a channel")
    tenants = {tenant.lower() for tenant in tenant_ids(activity)}
    if settings.bot_tenant_id and (tenants - {settings.bot_tenant_id} or (_is_teams(activity) and not tenants)):
        raise InvalidActivity("the tenant is not ours")


def to_incoming(activity: Activity, settings: Settings) -> Incoming:
    """Say whose conversation an activity belongs to, and how it and its conversation are called here."""
    tenant = next(iter(sorted(tenant_ids(activity))), "").lower()
    channel = str(ChannelId(activity.channel_id).channel)
    group_key = conversation_key = _hash(tenant, channel, activity.conversation.id)
    if is_private(activity):
        conversation_key = _hash(group_key, "private", activity.from_property.id or "")
    # A correction has the id of what it corrects.
    id = f"{activity.id} {activity.timestamp}" if is_edited(activity) else activity.id
    id = id or hashlib.sha256(activity.model_dump_json().encode()).hexdigest()
    user = (activity.from_property.aad_object_id or "").lower()
    if _is_teams(activity) and not is_group(activity) and settings.teams_local:
        owner = LOCAL_OWNER
    elif _is_teams(activity) and not is_group(activity) and tenant and user:
        owner = Owner(tenant, user)
    else:
        owner = Owner(f"{CONVERSATIONS}{tenant or channel}", group_key)
    return Incoming(activity, owner, _hash(conversation_key, id), conversation_key)


def decision_value(activity: Activity) -> Any:
    """Return what the button of a card that asks has sent, or ``None``."""
    return activity.value.get(DECISION) if isinstance(activity.value, dict) else None


def is_private(activity: Activity) -> bool:
    """Whether it is between one member of a group and the bot: Teams calls such messages targeted.

    https://learn.microsoft.com/microsoftteams/platform/agents-in-teams/targeted-messages
    """
    decision = decision_value(activity)
    is_asked_in_private = isinstance(decision, dict) and decision.get("is_private") is True
    targeted = getattr(activity.recipient, "isTargeted", None) is True or activity.is_targeted_activity()
    return is_group(activity) and (targeted or is_asked_in_private)


def is_group(activity: Activity) -> bool:
    """Whether several people may be in the conversation."""
    kind = activity.conversation.conversation_type
    return bool(activity.conversation.is_group) or kind in ("groupChat", "channel")


def tenant_ids(activity: Activity) -> set[str]:
    """Return the tenants that an activity names; more than one is a contradiction."""
    data = activity.channel_data if isinstance(activity.channel_data, dict) else {}
    tenant = data.get("tenant")
    named = [activity.conversation.tenant_id, tenant.get("id") if isinstance(tenant, dict) else None]
    return {each for each in named if isinstance(each, str) and each}


def sent_at(activity: Activity) -> str:
    """Return when an activity was sent by the channel's clock, in UTC; empty where that is not said."""
    moment = activity.timestamp
    return moment.astimezone(UTC).isoformat(timespec="microseconds") if moment else ""


def recipient_id(activity: Activity) -> str:
    """Return what the bot is called in the activity's channel; empty where that is not said."""
    return (activity.recipient.id if activity.recipient else None) or ""


def is_removed(activity: Activity) -> bool:
    """Whether the bot has been taken out of the conversation. Teams says it in two ways, other channels in the second."""
    if activity.type == "installationUpdate":
        return (activity.action or "").lower() == "remove"
    removed = {member.id for member in activity.members_removed or []} - {None, ""}
    return activity.type == "conversationUpdate" and recipient_id(activity) in removed


def is_edited(activity: Activity) -> bool:
    """Whether it is a message that somebody has changed. Teams tells also what was deleted, or taken back from there."""
    data = activity.channel_data
    return activity.type == "messageUpdate" and isinstance(data, dict) and data.get("eventType") == "editMessage"


def is_mentioned(activity: Activity) -> bool:
    """Whether the bot is addressed."""
    return any(mentions(entity, recipient_id(activity)) for entity in activity.entities or [])


def mentions(entity: Any, id: str) -> bool:
    """Whether an entity of an activity is the mention of somebody, who has an id."""
    mentioned = getattr(entity, "mentioned", None) if entity.type == "mention" else None
    return bool(id) and mentioned is not None and mentioned.id == id


def _is_teams(activity: Activity) -> bool:
    return str(ChannelId(activity.channel_id).channel) == "msteams"


def _hash(*parts: str) -> str:
    return hashlib.sha256(to_json(parts)).hexdigest()
