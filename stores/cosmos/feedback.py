"""Feedback in Cosmos DB: a field of the answer's own document."""

from __future__ import annotations

from errors import MessageNotFound, NotAnAnswer
from models import Feedback, Message, Owner, message_seq
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.patch import changes, condition
from stores.cosmos.reading import as_record, require_owned
from stores.cosmos.recent import RecentMessages


class CosmosFeedback:
    """Writes feedback to answers; no other document is touched."""

    def __init__(self, messages: CosmosContainer, recent: RecentMessages) -> None:
        self._messages = messages
        self._recent = recent

    async def set(self, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
        """Do what :meth:`ThreadStore.set_feedback` promises."""
        thread = require_owned(owner, thread_id, await self._messages.find(thread_id, thread_id))
        if message_seq(thread_id, message_id) is None:
            raise MessageNotFound(message_id)
        if thread.pending and thread.pending.id == message_id:
            raise NotAnAnswer(message_id)
        change = changes(feedback=feedback.model_dump(mode="json") if feedback else None)
        try:
            found = await self._messages.patch(thread_id, message_id, change, condition(role="assistant"))
        except PreconditionFailed as refused:
            raise (NotAnAnswer if refused.status == 412 else MessageNotFound)(message_id) from refused
        self._recent.forget(thread_id)
        return as_record(Message, found)
