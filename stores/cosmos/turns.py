"""Turns in Cosmos DB: the lease on a thread, the message in it, and the commit.

A turn costs two requests in sequence: one conditional write that takes the lease, and one batch that commits. Beside the first,
the history is queried, unless it is known here. Only when the first write is refused is anything read to find out why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from errors import (
    IdempotencyKeyReused,
    LeaseLost,
    StoreMisconfigured,
    StoreUnavailable,
    ThreadFull,
    ThreadNotFound,
    TurnInProgress,
)
from models import Message, Owner, message_id, utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed, gather_pair
from stores.cosmos.documents import (
    Document,
    KeyDocument,
    Lease,
    PendingMessage,
    ThreadDocument,
    answering_again,
    key_id,
    message_document,
    new_key_document,
    turn_document,
)
from stores.cosmos.history import CosmosHistory
from stores.cosmos.leases import CosmosLeases, ended_message
from stores.cosmos.operations import Operation, create, patch
from stores.cosmos.patch import changes, condition, lease_is_free, less_than, thread_changes
from stores.cosmos.reading import as_record, require_owned
from stores.limits import StoreLimits
from stores.preview import preview
from stores.types import NewMessage, ReplayedTurn, StartedTurn

MAX_ATTEMPTS = 8
GIVE_BACK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """What one call of ``begin_turn`` asks for."""

    owner: Owner
    thread_id: str
    new: NewMessage
    lease_seconds: float

    @property
    def key_id(self) -> str | None:
        """The id of the Idempotency-Key's document."""
        return None if self.new.idempotency_key is None else key_id(self.new.idempotency_key)

    def lease(self, *, seq: int | None) -> Document:
        """Return the lease to write: for the new message, or for the existing one at ``seq``."""
        pending = PendingMessage(content=self.new.content, metadata=self.new.metadata, timestamp=utcnow())
        lease = Lease(
            turn_id=self.new.turn_id,
            started_at=utcnow(),
            until=utcnow().timestamp() + self.lease_seconds,
            message=pending if seq is None else None,
            seq=seq,
            key_id=self.key_id,
        )
        return lease.model_dump(mode="json")


class AcquiredLease(NamedTuple):
    """A lease that was taken: the thread with it, and the message that it answers."""

    thread: ThreadDocument
    message: Message


Taking = asyncio.Task[AcquiredLease | None]


class CosmosTurns:
    """Begins, renews and commits turns; ``refresh_row`` is told of every thread whose row is out of date then."""

    def __init__(
        self,
        messages: CosmosContainer,
        leases: CosmosLeases,
        refresh_row: Callable[[ThreadDocument], None],
        history: CosmosHistory,
        limits: StoreLimits,
    ) -> None:
        self._limits = limits
        self._history = history
        self._messages = messages
        self._leases = leases
        self._refresh_row = refresh_row

    async def begin(self, request: Request, history_limit: int) -> StartedTurn | ReplayedTurn:
        """Do what :meth:`ThreadStore.begin_turn` promises."""
        taking = asyncio.create_task(self._lease_for_new(request))
        try:
            return await self._begin(request, history_limit, taking)
        except (ThreadNotFound, ThreadFull, TurnInProgress, IdempotencyKeyReused, StoreMisconfigured):
            raise
        except BaseException:
            # Whoever is stopping, too: the message was not accepted, and nobody would answer it.
            giving_back = asyncio.create_task(self._give_back(request, taking))
            await asyncio.wait({giving_back}, timeout=GIVE_BACK_SECONDS)
            giving_back.cancel()
            raise

    async def _give_back(self, request: Request, taking: Taking) -> None:
        # A write that is still on its way would come after ours.
        await asyncio.gather(taking, return_exceptions=True)
        await self._leases.give_back(request.thread_id, request.new.turn_id, request.key_id)

    async def _begin(self, request: Request, history_limit: int, taking: Taking) -> StartedTurn | ReplayedTurn:
        # One more: the message of an earlier attempt may be among the latest, and is not its own history.
        limit = history_limit + 1 if history_limit else 0
        taken, beside = await self._history.beside(asyncio.shield(taking), request.owner, request.thread_id, limit)
        if taken is None:
            outcome = await self._take_after_refusal(request)
            if isinstance(outcome, ReplayedTurn):
                return outcome
            taken, beside = outcome, None
        thread, message = taken
        latest = await self._history.latest(thread, limit, beside)
        history = [earlier for earlier in latest if earlier.seq != message.seq][:history_limit]
        return StartedTurn(
            owner=request.owner,
            thread=thread.thread,
            turn_id=request.new.turn_id,
            message=message,
            history=history[::-1],
            reply_seq=max(thread.last_seq, message.seq) + 1,
            started_at=thread.lease.started_at if thread.lease else utcnow(),
            is_retry=message.seq <= thread.last_seq,
            idempotency_key=request.new.idempotency_key,
        )

    async def find_replay(self, request: Request) -> ReplayedTurn | None:
        """Do what :meth:`ThreadStore.find_replay` promises."""
        await self._messages.catch_up(request.thread_id, request.thread_id)
        thread, key = await self._thread_and_key(request)
        return await self._replay(thread, key.reply_seq) if key and key.reply_seq else None

    async def renew(self, turn: StartedTurn, lease_seconds: float) -> None:
        """Do what :meth:`ThreadStore.renew_lease` promises."""
        until = changes(lease__until=utcnow().timestamp() + lease_seconds)
        try:
            await self._messages.patch(turn.thread.id, turn.thread.id, until, condition(lease__turn_id=turn.turn_id))
        except PreconditionFailed as refused:
            raise LeaseLost from refused

    async def commit(self, turn: StartedTurn, message: Message, reply: Message | None, final_event_id: int) -> None:
        """Do what :meth:`ThreadStore.commit_turn` promises."""
        for _ in range(MAX_ATTEMPTS):
            try:
                results = await self._messages.batch(turn.thread.id, _commit_batch(turn, message, reply, final_event_id))
            except PreconditionFailed as refused:
                thread = await self._thread_after_refusal(turn, message, refused)
                if thread is None:
                    continue
            else:
                thread = as_record(ThreadDocument, results[-1])
                self._history.extend(thread, [message, reply] if reply else [message])
            self._refresh_row(thread)
            return
        raise StoreUnavailable

    async def _thread_after_refusal(
        self, turn: StartedTurn, message: Message, refused: PreconditionFailed
    ) -> ThreadDocument | None:
        """Return the thread if an earlier attempt, whose answer was lost, had committed; ``None`` if it is worth another."""
        stored, thread = await gather_pair(
            self._messages.read(turn.thread.id, message.id), self._messages.read(turn.thread.id, turn.thread.id)
        )
        document = as_record(ThreadDocument, thread) if thread else None
        if document is None or document.deleting:
            raise LeaseLost from refused
        if stored and (stored["turn_id"], stored["status"]) == (turn.turn_id, message.status):
            return document
        if document.lease is None or document.lease.turn_id != turn.turn_id:
            raise LeaseLost from refused
        return None

    async def _take_after_refusal(self, request: Request) -> AcquiredLease | ReplayedTurn:
        for _ in range(MAX_ATTEMPTS):
            outcome = await self._look_closer(request)
            if outcome is not None:
                return outcome
        raise StoreUnavailable

    async def _lease_for_new(self, request: Request) -> AcquiredLease | None:
        """Try to take the lease with the new message in it; ``None`` if that was refused."""
        lease = thread_changes(lease=request.lease(seq=None))
        free = lease_is_free(request.owner)
        if self._limits.messages:
            free += less_than("last_seq", self._limits.messages)
        try:
            if request.key_id is None:
                thread = await self._messages.patch(request.thread_id, request.thread_id, lease, free)
            else:
                # The key comes first: if it is known, that is what the batch is refused for.
                key = create(new_key_document(request.thread_id, request.key_id, request.new))
                take = patch(request.thread_id, lease, free)
                _, thread = await self._messages.batch(request.thread_id, [key, take])
        except PreconditionFailed:
            return None
        return await self._acquired(as_record(ThreadDocument, thread))

    async def _lease_again(self, request: Request, key: KeyDocument) -> AcquiredLease | None:
        """Try to take the lease for the message that an earlier attempt has left at ``key.seq``."""
        restart = patch(
            key.id, changes(turn_id=request.new.turn_id, status="running"), condition(turn_id=key.turn_id, status=key.status)
        )
        take = patch(request.thread_id, thread_changes(lease=request.lease(seq=key.seq)), lease_is_free(request.owner))
        try:
            _, thread = await self._messages.batch(request.thread_id, [restart, take])
        except PreconditionFailed:
            return None
        return await self._acquired(as_record(ThreadDocument, thread))

    async def _look_closer(self, request: Request) -> AcquiredLease | ReplayedTurn | None:
        """Read why the lease was refused and act on it; ``None`` means that things have changed: look again."""
        thread, key = await self._thread_and_key(request)
        lease = thread.lease
        if lease and lease.turn_id == request.new.turn_id:
            return await self._acquired(thread)
        if key and key.reply_seq:
            return await self._replay(thread, key.reply_seq)
        if lease and lease.seconds_left() > 0:
            raise TurnInProgress(retry_after=min(lease.seconds_left(), 2))
        if lease:
            await self._leases.end_expired(thread, lease)
            return None
        if key is None:
            self._limits.check_messages(thread.last_seq)
            return await self._lease_for_new(request)
        return await self._lease_again(request, key) if key.seq else None

    async def _thread_and_key(self, request: Request) -> tuple[ThreadDocument, KeyDocument | None]:
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

    async def _acquired(self, thread: ThreadDocument) -> AcquiredLease | None:
        if thread.pending:
            return AcquiredLease(thread, thread.pending)
        message = await self._message(thread.id, thread.lease.seq) if thread.lease and thread.lease.seq else None
        return AcquiredLease(thread, answering_again(message, thread.lease)) if message and thread.lease else None

    async def _message(self, thread_id: str, seq: int) -> Message | None:
        found = await self._messages.read(thread_id, message_id(thread_id, seq))
        return as_record(Message, found) if found else None

    async def _replay(self, thread: ThreadDocument, reply_seq: int) -> ReplayedTurn | None:
        # The process that committed may have died before it brought the row up to date.
        self._refresh_row(thread)
        reply = await self._message(thread.id, reply_seq)
        return ReplayedTurn(reply) if reply else None


def _commit_batch(turn: StartedTurn, message: Message, reply: Message | None, final_event_id: int) -> list[Operation]:
    thread = turn.thread
    last_seq = turn.reply_seq - 1 if turn.is_retry else turn.reply_seq - 2
    last = reply or message
    operations = [ended_message(message) if turn.is_retry else create(message_document(message))]
    if reply:
        operations.append(create(message_document(reply)))
    operations.append(create(turn_document(turn, message.status, reply, message.problem, final_event_id)))
    if turn.idempotency_key is not None:
        ended = changes(status=message.status, seq=message.seq, reply_seq=reply.seq if reply else None)
        operations.append(patch(key_id(turn.idempotency_key), ended, condition(turn_id=turn.turn_id)))
    shown = {"last_message_preview": preview(last.content)} if last.seq > last_seq else {}
    end = thread_changes(last_seq=max(last_seq, last.seq), updated_at=max(utcnow(), thread.updated_at), lease=None, **shown)
    guard = condition(lease__turn_id=turn.turn_id, last_seq=last_seq, deleting=False)
    return [*operations, patch(thread.id, end, guard)]
