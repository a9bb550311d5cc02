"""What one person wrote in conversations of several, in Cosmos DB: finding it, and erasing it in place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from calls import CANCELLED, Decider
from errors import StoreUnavailable
from models import AUTHOR_ID, Message, Owner, utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.definitions import kind
from stores.cosmos.deletion import CosmosDeletion
from stores.cosmos.documents import ThreadDocument, TurnDocument
from stores.cosmos.feedback import CosmosFeedback
from stores.cosmos.history import CosmosHistory
from stores.cosmos.lease_document import Lease
from stores.cosmos.operations import Operation, delete, patch
from stores.cosmos.patch import changes, condition, thread_changes
from stores.cosmos.pauses import CosmosPauses
from stores.cosmos.reading import as_record, require_owned
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.cosmos.rows import CosmosRows
from stores.cosmos.turn_requests import TurnReader
from stores.types import ErasedExchanges, OwnedRef

MAX_ROWS = 1_000_000
QUESTIONS_AT_ONCE = 40
# With the thread, the hundred that a batch may have.
OPERATIONS_AT_ONCE = 99
TEXTS = {"content", "tool_calls", "citations", "metadata"}
# What a message that has none leaves out.
NO_TEXT = {"reasoning": None, "feedback": None}
# Only a message has a place and an author.
MESSAGES = "SELECT c.thread_id FROM c WHERE c.seq > 0 AND c.metadata.author_id = @author"
FEEDBACK = f"SELECT c.thread_id FROM c WHERE {kind('feedback')} AND c.metadata.author_id = @author"  # noqa: S608 - our own
PENDING = "SELECT c.thread_id FROM c WHERE c.lease.message.metadata.author_id = @author"
QUESTIONS = "SELECT TOP @limit * FROM c WHERE c.metadata.author_id = @author AND c.seq != @answering ORDER BY c.seq"


class CosmosAuthors:
    """Finds and erases what one person wrote; ``end_expired`` ends the turn of an expired lease."""

    def __init__(
        self,
        messages: CosmosContainer,
        rows: CosmosRows,
        deletion: CosmosDeletion,
        feedback: CosmosFeedback,
        history: CosmosHistory,
        reader: TurnReader,
        pauses: CosmosPauses,
        end_expired: Callable[[ThreadDocument, Lease], Awaitable[None]],
    ) -> None:
        self._messages = messages
        self._rows = rows
        self._deletion = deletion
        self._feedback = feedback
        self._history = history
        self._reader = reader
        self._pauses = pauses
        self._end_expired = end_expired

    async def threads(self, author_id: str) -> list[OwnedRef]:
        """Do what :meth:`ThreadStore.threads_of_author` promises."""
        ids: dict[str, None] = {}
        for sql in (MESSAGES, PENDING, FEEDBACK):
            rows = await self._messages.query_everywhere(sql, limit=MAX_ROWS, author=author_id)
            ids.update(dict.fromkeys(row["thread_id"] for row in rows))
        return [found for id in ids if (found := await self._of_conversation(id))]

    async def erase(self, owner: Owner, thread_id: str, author_id: str) -> ErasedExchanges:
        """Do what :meth:`ThreadStore.erase_exchanges` promises."""
        await self._messages.catch_up(thread_id, thread_id)
        erased = refusals = 0
        while refusals < MAX_ATTEMPTS:
            thread = await self._without_expired_lease(owner, thread_id)
            if thread.open and await self._is_theirs(thread, thread.open.question_seq, author_id):
                await self._pauses.close(thread, thread.open, Decider(author_id, utcnow(), CANCELLED))
                refusals += 1
                continue
            questions = await self._questions(thread, author_id)
            if not questions:
                # Always: an earlier call may have been stopped before it did this.
                await self._rows.update(thread)
                await self._history.forget(thread.id)
                await self._feedback.erase(thread.id, author_id)
                return ErasedExchanges(erased, await self._is_answering(thread, author_id))
            # First, because nobody finds them by the author any more once the messages are erased.
            await self._deletion.delete_events(thread.id, running_turn=thread.lease.turn_id if thread.lease else None)
            try:
                erased += await self._erase(thread, questions)
            except PreconditionFailed:
                refusals += 1
        raise StoreUnavailable

    async def _of_conversation(self, thread_id: str) -> OwnedRef | None:
        found = await self._messages.read(thread_id, thread_id)
        document = as_record(ThreadDocument, found) if found else None
        if document is None or document.deleting:
            return None
        owner = Owner(document.tenant, document.user)
        return OwnedRef(owner, thread_id) if owner.is_conversation else None

    async def _without_expired_lease(self, owner: Owner, thread_id: str) -> ThreadDocument:
        for _ in range(MAX_ATTEMPTS):
            thread = require_owned(owner, thread_id, await self._messages.read(thread_id, thread_id))
            if thread.lease is None or thread.lease.seconds_left() > 0:
                return thread
            await self._end_expired(thread, thread.lease)
        raise StoreUnavailable

    async def _questions(self, thread: ThreadDocument, author_id: str) -> list[Message]:
        answering = (thread.lease and thread.lease.seq) or 0
        rows = await self._messages.query(thread.id, QUESTIONS, limit=QUESTIONS_AT_ONCE, author=author_id, answering=answering)
        return [as_record(Message, row) for row in rows]

    async def _erase(self, thread: ThreadDocument, questions: list[Message]) -> int:
        """Erase exchanges of a thread in which no other turn has begun or ended since it was read; return how many messages.

        Each question comes last: it is what its exchange is found by.
        """
        erased: list[Message] = []
        operations: list[Operation] = []
        feedback = await self._feedback.ids_by_answer(thread.id)
        for question, turns in zip(questions, await asyncio.gather(*map(self._turns_of, questions)), strict=True):
            found = [await self._reader.message(thread.id, turn.reply_seq) for turn in turns if turn.reply_seq]
            exchange = [*filter(None, found), question]
            operations += [delete(id) for each in exchange for id in feedback.get(each.id, [])]
            operations += [patch(turn.id, changes(pause=None)) for turn in turns if turn.pause]
            operations += [
                patch(each.id, changes(**each.erased().model_dump(mode="json", include=TEXTS) | NO_TEXT)) for each in exchange
            ]
            erased += exchange
        lease = {"lease__turn_id": thread.lease.turn_id} if thread.lease else {"lease": None}
        unchanged = condition(owner_hash=thread.owner_hash, deleting=False, last_seq=thread.last_seq, **lease)
        shown = any(message.seq == thread.last_seq for message in erased)
        end = thread_changes(last_message_preview="") if shown else thread_changes()
        for start in range(0, len(operations), OPERATIONS_AT_ONCE):
            batch = operations[start : start + OPERATIONS_AT_ONCE]
            await self._messages.batch(thread.id, [*batch, patch(thread.id, end, unchanged)])
        return len(erased)

    async def _turns_of(self, question: Message) -> list[TurnDocument]:
        return await self._reader.turn_with_paused(question.thread_id, question.turn_id)

    async def _is_theirs(self, thread: ThreadDocument, seq: int, author_id: str) -> bool:
        return _is_by(await self._reader.message(thread.id, seq), author_id)

    async def _is_answering(self, thread: ThreadDocument, author_id: str) -> bool:
        """Whether a turn runs for one of the author's messages: it writes the message once more when it ends."""
        if thread.lease and thread.lease.seq:
            return await self._is_theirs(thread, thread.lease.seq, author_id)
        return _is_by(thread.pending, author_id)


def _is_by(message: Message | None, author_id: str) -> bool:
    return message is not None and message.metadata.get(AUTHOR_ID) == author_id
