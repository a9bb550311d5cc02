"""What one person wrote in conversations of several, in Cosmos DB: finding it, and erasing it in place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from calls import CANCELLED, Decider
from errors import StoreUnavailable
from models import AUTHOR_ID, Message, Owner, utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.deletion import CosmosDeletion
from stores.cosmos.documents import ThreadDocument
from stores.cosmos.history import CosmosHistory
from stores.cosmos.lease_document import Lease
from stores.cosmos.operations import patch
from stores.cosmos.patch import changes, condition, thread_changes
from stores.cosmos.pauses import CosmosPauses
from stores.cosmos.reading import as_record, require_owned
from stores.cosmos.rows import CosmosRows
from stores.cosmos.turn_requests import TurnReader
from stores.types import ErasedExchanges, OwnedRef

MAX_ATTEMPTS = 8
MAX_ROWS = 1_000_000
# With their replies and the thread, less than the hundred operations that a batch may have.
QUESTIONS_AT_ONCE = 40
TEXTS = {"content", "tool_calls", "citations", "metadata"}
# What a message that has none leaves out.
NO_TEXT = {"reasoning": None, "feedback": None}
# Only a message has a place and an author.
MESSAGES = "SELECT c.thread_id FROM c WHERE c.seq > 0 AND c.metadata.author_id = @author"
PENDING = "SELECT c.thread_id FROM c WHERE c.lease.message.metadata.author_id = @author"
QUESTIONS = "SELECT TOP @limit * FROM c WHERE c.metadata.author_id = @author AND c.seq != @answering ORDER BY c.seq"


class CosmosAuthors:
    """Finds and erases what one person wrote; ``end_expired`` ends the turn of an expired lease."""

    def __init__(
        self,
        messages: CosmosContainer,
        rows: CosmosRows,
        deletion: CosmosDeletion,
        history: CosmosHistory,
        reader: TurnReader,
        pauses: CosmosPauses,
        end_expired: Callable[[ThreadDocument, Lease], Awaitable[None]],
    ) -> None:
        self._messages = messages
        self._rows = rows
        self._deletion = deletion
        self._history = history
        self._reader = reader
        self._pauses = pauses
        self._end_expired = end_expired

    async def threads(self, author_id: str) -> list[OwnedRef]:
        """Do what :meth:`ThreadStore.threads_of_author` promises."""
        ids: dict[str, None] = {}
        for sql in (MESSAGES, PENDING):
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
                return ErasedExchanges(erased, await self._is_answering(thread, author_id))
            # First, because nobody finds them by the author any more once the messages are erased.
            await self._deletion.delete_events(thread.id, running_turn=thread.lease.turn_id if thread.lease else None)
            messages = [*questions, *await self._replies(questions)]
            try:
                await self._erase(thread, messages)
            except PreconditionFailed:
                refusals += 1
            else:
                erased += len(messages)
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

    async def _replies(self, questions: list[Message]) -> list[Message]:
        return [reply for replies in await asyncio.gather(*map(self._replies_to, questions)) for reply in replies]

    async def _replies_to(self, question: Message) -> list[Message]:
        seqs = await self._reader.reply_seqs(question.thread_id, question.turn_id)
        found = [await self._reader.message(question.thread_id, seq) for seq in seqs]
        return [reply for reply in found if reply]

    async def _erase(self, thread: ThreadDocument, messages: list[Message]) -> None:
        """Erase messages of a thread in which no other turn has begun or ended since it was read."""
        lease = {"lease__turn_id": thread.lease.turn_id} if thread.lease else {"lease": None}
        unchanged = condition(owner_hash=thread.owner_hash, deleting=False, last_seq=thread.last_seq, **lease)
        shown = any(message.seq == thread.last_seq for message in messages)
        end = thread_changes(last_message_preview="") if shown else thread_changes()
        erased = [
            patch(message.id, changes(**message.erased().model_dump(mode="json", include=TEXTS) | NO_TEXT))
            for message in messages
        ]
        await self._messages.batch(thread.id, [*erased, patch(thread.id, end, unchanged)])

    async def _is_theirs(self, thread: ThreadDocument, seq: int, author_id: str) -> bool:
        message = await self._reader.message(thread.id, seq)
        return message is not None and message.metadata.get(AUTHOR_ID) == author_id

    async def _is_answering(self, thread: ThreadDocument, author_id: str) -> bool:
        """Whether a turn runs for one of the author's messages: it writes the message once more when it ends."""
        message = thread.pending
        if thread.lease and thread.lease.seq:
            message = await self._reader.message(thread.id, thread.lease.seq)
        return message is not None and message.metadata.get(AUTHOR_ID) == author_id
