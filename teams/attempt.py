"""One attempt at an activity: what it may do, how it ends early, and what it puts into the thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models import AUTHOR_ID, new_id
from stores.types import NewMessage
from teams.activity import Incoming
from teams.conversations import ActivityClaim
from teams.question import whole_question


class Redeliver(Exception):
    """Something is left to be done, later: what is stored is to be delivered, or nothing came of it yet.

    ``is_refusal`` says that the channel takes other activities, but not this one.
    """

    def __init__(self, *, is_stored: bool, reason: str, is_refusal: bool = False) -> None:
        super().__init__(reason)
        self.is_stored = is_stored
        self.reason = reason
        self.is_refusal = is_refusal


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at an activity.

    ``may_wait`` says that it may be made again when its thread is free, ``may_repeat`` that it may when the service has failed.
    ``accepted`` is called when the message is in its thread, which ``is_stored`` says of attempts before, of which there were
    ``failures``.
    """

    incoming: Incoming
    request_id: str
    is_first: bool
    is_stored: bool
    failures: int
    may_wait: bool
    may_repeat: bool
    accepted: Callable[[], None]


def new_message(incoming: Incoming, claim: ActivityClaim) -> NewMessage:
    """Return what is put into the thread, the same in every attempt."""
    author = None if incoming.is_personal else incoming.author
    text = whole_question(incoming.activity, author)
    metadata: dict[str, Any] = {"channel": incoming.channel}
    if author:
        metadata["author"] = author
    if incoming.owner.is_conversation and incoming.author_id:
        metadata[AUTHOR_ID] = incoming.author_id
    return NewMessage(new_id("turn"), text, metadata | claim.preferences, f"bot-{incoming.key}")
