"""Beginning the turn that an activity asks for: once, however often it is delivered."""

from __future__ import annotations

import logging

from errors import ThreadNotFound
from teams.attempt import Attempt, new_message
from teams.conversations import Conversations
from turns.event_log import EventLog
from turns.service import Turns

logger = logging.getLogger(__name__)


class TurnStarter:
    """Begins turns, or finds the answers of those that were begun before."""

    def __init__(self, turns: Turns, conversations: Conversations) -> None:
        self._turns = turns
        self._conversations = conversations

    async def start(self, attempt: Attempt) -> EventLog | None:
        """Return the turn's log; ``None`` if what an earlier attempt has stored was deleted since: it is not asked again."""
        incoming = attempt.incoming
        while not attempt.is_stored or await self._conversations.find(incoming):
            claim = await self._conversations.claim(incoming)
            new = new_message(incoming, claim)
            try:
                log = await self._turns.start(incoming.owner, claim.thread_id, new, stream=True, request_id=attempt.request_id)
            except ThreadNotFound:
                if claim.is_known:
                    break
                # Deleted just now, through the API: the conversation goes on in a fresh thread.
                await self._conversations.forget(incoming)
            else:
                attempt.accepted()
                return log
        logger.info("the thread of request %s is gone, and what it asked with it", attempt.request_id)
        return None
