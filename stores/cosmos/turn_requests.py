"""What asks for a turn in Cosmos DB, and what is read to find out what became of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from errors import IdempotencyKeyReused
from models import TURN_ID_PATTERN, Message, Owner, message_id, utcnow
from stores.cosmos.container import CosmosContainer, gather_pair
from stores.cosmos.documents import Document, KeyDocument, ThreadDocument, TurnDocument, answering_again, key_id
from stores.cosmos.lease_document import Lease, PendingMessage
from stores.cosmos.operations import Operation, patch
from stores.cosmos.patch import changes, condition
from stores.cosmos.reading import as_record, require_owned
from stores.types import NewContinuation, NewMessage, NewTurn, ReplayedTurn

N = TypeVar("N", bound=NewTurn, covariant=True)


@dataclass(frozen=True, slots=True)
class Request(Generic[N]):
    """What one call that begins a turn asks for."""

    owner: Owner
    thread_id: str
    new: N
    lease_seconds: float

    @property
    def key_id(self) -> str | None:
        """The id of the Idempotency-Key's document."""
        return None if self.new.idempotency_key is None else key_id(self.new.idempotency_key)

    def lease(self, *, seq: int | None, approved: frozenset[str] = frozenset()) -> Document:
        """Return the lease to write: for the new message, or for the existing one at ``seq``."""
        pending, cancelled = None, None
        continues = self.new.paused_turn_id if isinstance(self.new, NewContinuation) else None
        if isinstance(self.new, NewMessage):
            cancelled = self.new.cancelled_turn_id
            if seq is None:
                pending = PendingMessage(content=self.new.content, metadata=self.new.metadata, timestamp=utcnow())
        lease = Lease(
            turn_id=self.new.turn_id,
            started_at=utcnow(),
            until=utcnow().timestamp() + self.lease_seconds,
            message=pending,
            seq=seq,
            key_id=self.key_id,
            continues=continues,
            approved=sorted(approved),
            cancelled_turn_id=cancelled,
        )
        return lease.model_dump(mode="json")

    def takes_key(self, key: KeyDocument) -> Operation:
        """Return the write that gives a known key to this call's turn, unless another one has it by then."""
        unchanged = condition(turn_id=key.turn_id, status=key.status)
        return patch(key.id, changes(turn_id=self.new.turn_id, status="running"), unchanged)


class AcquiredLease(NamedTuple):
    """A lease that was taken: the thread as it was left, and the message that is answered."""

    thread: ThreadDocument
    lease: Lease
    message: Message


class TurnReader:
    """Reads what a refused write is about; ``refresh_row`` is told of threads whose row may be out of date."""

    def __init__(self, messages: CosmosContainer, refresh_row: Callable[[ThreadDocument], None]) -> None:
        self._messages = messages
        self._refresh_row = refresh_row

    async def thread_and_key(self, request: Request[NewTurn]) -> tuple[ThreadDocument, KeyDocument | None]:
        """Return the thread, and the Idempotency-Key as it came before.

        :raises ThreadNotFound: if the owner has no such thread.
        :raises IdempotencyKeyReused: if the key came with another fingerprint.
        """
        found, known = await gather_pair(
            self._messages.read(request.thread_id, request.thread_id), self._read_key(request.thread_id, request.key_id)
        )
        thread = require_owned(request.owner, request.thread_id, found)
        if known and known.fingerprint != request.new.fingerprint:
            raise IdempotencyKeyReused
        return thread, known

    async def _read_key(self, thread_id: str, id: str | None) -> KeyDocument | None:
        found = await self._messages.read(thread_id, id) if id else None
        return as_record(KeyDocument, found) if found else None

    async def acquired(self, thread: ThreadDocument) -> AcquiredLease | None:
        """Return a lease that was taken, with the message that it answers."""
        lease = thread.lease
        if lease is None:
            return None
        if message := thread.pending:
            return AcquiredLease(thread, lease, message)
        message = await self.message(thread.id, lease.seq) if lease.seq else None
        return AcquiredLease(thread, lease, answering_again(message, lease)) if message else None

    async def message(self, thread_id: str, seq: int) -> Message | None:
        """Return the message at a place."""
        found = await self._messages.read(thread_id, message_id(thread_id, seq))
        return as_record(Message, found) if found else None

    async def turn(self, thread_id: str, turn_id: str) -> TurnDocument | None:
        """Return a turn that has ended; what is no turn's id may be that of another document, and is not asked for."""
        if not re.fullmatch(TURN_ID_PATTERN, turn_id):
            return None
        found = await self._messages.read(thread_id, turn_id)
        return as_record(TurnDocument, found) if found else None

    async def turn_with_paused(self, thread_id: str, turn_id: str | None) -> list[TurnDocument]:
        """Return a turn that has ended and those that it went on with, the oldest first."""
        turns: list[TurnDocument] = []
        while turn_id and (turn := await self.turn(thread_id, turn_id)):
            turns.append(turn)
            turn_id = turn.continues
        return turns[::-1]

    async def replay(self, thread: ThreadDocument, reply_seq: int) -> ReplayedTurn | None:
        """Return the answer that there is."""
        # The process that committed may have died before it brought the row up to date.
        self._refresh_row(thread)
        reply = await self.message(thread.id, reply_seq)
        return ReplayedTurn(reply) if reply else None
