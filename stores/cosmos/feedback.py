"""Feedback in Cosmos DB: a field of the answer's own document; in conversations of several, a document of each author's."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from errors import MessageNotFound, NotAnAnswer
from models import AUTHOR_ID, Feedback, Message, Owner, message_seq
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.definitions import kind
from stores.cosmos.documents import VERSION, Document
from stores.cosmos.history import CosmosHistory
from stores.cosmos.operations import create, patch
from stores.cosmos.patch import changes, condition
from stores.cosmos.reading import as_record, require_owned
from stores.types import AuthorFeedback

NOT_ERASED = " AND NOT IS_DEFINED(c.metadata.erased)"
ALL = f"SELECT c.id, c.message_id, c.metadata FROM c WHERE {kind('feedback')}"  # noqa: S608 - our own text
# Its id has the answer's place in front.
GIVEN = f"SELECT * FROM c WHERE {kind('feedback')} AND c.metadata.author_id = @author ORDER BY c.id"  # noqa: S608 - the same


class CosmosFeedback:
    """Writes feedback to answers, or beside them; no other document is changed."""

    def __init__(self, messages: CosmosContainer, history: CosmosHistory) -> None:
        self._messages = messages
        self._history = history

    async def set(self, owner: Owner, thread_id: str, message_id: str, feedback: Feedback | None) -> Message:
        """Do what :meth:`ThreadStore.set_feedback` promises."""
        await self._require_place(owner, thread_id, message_id)
        change = changes(feedback=feedback.model_dump(mode="json") if feedback else None)
        try:
            found = await self._messages.patch(thread_id, message_id, change, condition(role="assistant"))
        except PreconditionFailed as refused:
            raise (NotAnAnswer if refused.status == 412 else MessageNotFound)(message_id) from refused
        await self._history.forget(thread_id)
        return as_record(Message, found)

    async def set_of_author(self, owner: Owner, thread_id: str, message_id: str, author_id: str, feedback: Feedback) -> bool:
        """Do what :meth:`ThreadStore.set_author_feedback` promises."""
        seq = await self._require_place(owner, thread_id, message_id)
        document = _author_document(thread_id, message_id, seq, author_id, feedback)
        # It must not outlive the answer's text. The patch changes nothing: nothing else in a batch can have a condition.
        is_answer = patch(message_id, changes(role="assistant"), condition(role="assistant") + NOT_ERASED)
        try:
            await self._messages.batch(thread_id, [is_answer, create(document)])
        except PreconditionFailed as refused:
            if refused.status != 409:
                raise (NotAnAnswer if refused.status == 412 else MessageNotFound)(message_id) from refused
        else:
            return True
        try:
            await self._messages.patch(thread_id, document["id"], changes(feedback=document["feedback"]))
        except PreconditionFailed as refused:
            # Erased since then, or the answer was.
            raise MessageNotFound(message_id) from refused
        return False

    async def list_of_author(self, owner: Owner, thread_id: str, author_id: str) -> list[AuthorFeedback]:
        """Do what :meth:`ThreadStore.list_author_feedback` promises."""
        require_owned(owner, thread_id, await self._messages.find(thread_id, thread_id))
        return [as_record(AuthorFeedback, row) for row in await self._messages.query(thread_id, GIVEN, author=author_id)]

    async def ids_by_answer(self, thread_id: str) -> dict[str, list[str]]:
        """Return the ids of all authors' documents of a thread, by the answer that they are about."""
        found: dict[str, list[str]] = defaultdict(list)
        for row in await self._messages.query(thread_id, ALL):
            found[row["message_id"]].append(row["id"])
        return found

    async def erase(self, thread_id: str, author_id: str) -> None:
        """Erase what an author gave in a thread, and what anybody gave while its answer was being erased."""
        erased: dict[str, bool] = {}
        for row in await self._messages.query(thread_id, ALL):
            answer = row["message_id"]
            if row["metadata"][AUTHOR_ID] != author_id and answer not in erased:
                found = await self._messages.read(thread_id, answer)
                erased[answer] = found is not None and as_record(Message, found).is_erased
            if row["metadata"][AUTHOR_ID] == author_id or erased[answer]:
                await self._messages.delete(thread_id, row["id"])

    async def _require_place(self, owner: Owner, thread_id: str, message_id: str) -> int:
        """Return the place of what may be an answer: the question that is being answered has no document yet."""
        thread = require_owned(owner, thread_id, await self._messages.find(thread_id, thread_id))
        seq = message_seq(thread_id, message_id)
        if seq is None:
            raise MessageNotFound(message_id)
        if thread.pending and thread.pending.id == message_id:
            raise NotAnAnswer(message_id)
        return seq


def _author_document(thread_id: str, message_id: str, seq: int, author_id: str, feedback: Feedback) -> Document:
    # A hash, as a channel's id of somebody may hold what an id must not.
    author = hashlib.sha256(author_id.encode()).hexdigest()
    return {
        "id": f"feedback_{seq:09}_{author}",
        "thread_id": thread_id,
        "type": "feedback",
        "v": VERSION,
        "message_id": message_id,
        # Where messages have their author: one index path for both.
        "metadata": {AUTHOR_ID: author_id},
        "feedback": feedback.model_dump(mode="json"),
    }
