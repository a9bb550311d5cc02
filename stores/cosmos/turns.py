"""Turns in Cosmos DB: the lease on a thread, the message in it, and the commit.

A turn costs three requests, two of them in sequence: one conditional write that takes the lease, beside it the query for the
history, and one batch that commits. Only when the first write is refused is anything read to find out why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from errors import IdempotencyKeyReused, LeaseLost, StoreError, StoreUnavailable, TurnInProgress
from models import Message, message_id, preview, utcnow
from stores.cosmos.container import CosmosContainer, Operation, PreconditionFailed, create, gather_pair, patch, replace
from stores.cosmos.documents import (
    KeyDocument,
    Lease,
    ThreadDocument,
    answering_again,
    interrupted_turn_document,
    key_id,
    message_document,
    new_key_document,
    require_owned,
    turn_document,
)
from stores.cosmos.leases import AcquiredLease, LeaseReleaser, Request, Taking
from stores.cosmos.patch import changes, condition, lease_is_free, less_than, thread_changes
from stores.types import ReplayedTurn, StartedTurn

MAX_ATTEMPTS = 8
HISTORY = "SELECT TOP @limit * FROM c WHERE c.type = 'message' ORDER BY c.seq DESC"


class CosmosTurns:
    """Begins, renews and commits turns; ``refresh_row`` is told of every thread whose row is out of date then."""

    def __init__(self, messages: CosmosContainer, refresh_row: Callable[[ThreadDocument], None]) -> None:
        self._messages = messages
        self._refresh_row = refresh_row
        self._releaser = LeaseReleaser(messages)

    async def aclose(self) -> None:
        """Wait for leases that are being given back."""
        await self._releaser.aclose()

    async def begin(self, request: Request, history_limit: int) -> StartedTurn | ReplayedTurn:
        """Do what :meth:`ThreadStore.begin_turn` promises."""
        taking = asyncio.create_task(self._take(request))
        try:
            return await self._begin(request, history_limit, taking)
        except (StoreError, asyncio.CancelledError):
            await self._releaser.release(request, taking)
            raise

    async def _begin(self, request: Request, history_limit: int, taking: Taking) -> StartedTurn | ReplayedTurn:
        # One more with a key: the message of an earlier attempt may be among the latest, and is not its own history.
        limit = history_limit + (request.key_id is not None) if history_limit else 0
        outcome, latest = await gather_pair(asyncio.shield(taking), self._latest(request.thread_id, limit))
        if isinstance(outcome, ReplayedTurn):
            return outcome
        thread, message, at_once = outcome
        if limit and not (at_once and (latest[0].seq if latest else 0) == thread.last_seq):
            # Read before somebody else's commit, or from a lagging replica; the lease's answer has the newer session.
            latest = await self._latest(request.thread_id, limit)
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
                thread = ThreadDocument.model_validate(results[-1])
            self._refresh_row(thread)
            return
        raise StoreUnavailable

    async def end_expired(self, thread: ThreadDocument, lease: Lease) -> None:
        """End a turn whose lease has expired as interrupted, unless somebody else is quicker; its message stays."""
        try:
            results = await self._messages.batch(thread.id, _clear_batch(thread, lease))
        except PreconditionFailed:
            await self._drop_late(thread, lease)
        else:
            self._refresh_row(ThreadDocument.model_validate(results[-1]))

    async def _drop_late(self, thread: ThreadDocument, lease: Lease) -> None:
        """Give an expired lease back whose turn has ended before.

        A write that takes a lease may be so late that it was sent again, and that turn has ended, before it is carried out.
        """
        if await self._messages.read(thread.id, lease.turn_id) is None:
            return
        try:
            free = thread_changes(lease=None)
            document = await self._messages.patch(thread.id, thread.id, free, condition(lease__turn_id=lease.turn_id))
        except PreconditionFailed:
            return
        self._refresh_row(ThreadDocument.model_validate(document))

    async def _thread_after_refusal(
        self, turn: StartedTurn, message: Message, refused: PreconditionFailed
    ) -> ThreadDocument | None:
        """Return the thread if an earlier attempt, whose answer was lost, had committed; ``None`` if it is worth another."""
        stored, thread = await gather_pair(
            self._messages.read(turn.thread.id, message.id), self._messages.read(turn.thread.id, turn.thread.id)
        )
        document = ThreadDocument.model_validate(thread) if thread else None
        if document is None or document.deleting:
            raise LeaseLost from refused
        if stored and (stored["turn_id"], stored["status"]) == (turn.turn_id, message.status):
            return document
        if document.lease is None or document.lease.turn_id != turn.turn_id:
            raise LeaseLost from refused
        return None

    async def _latest(self, thread_id: str, limit: int) -> list[Message]:
        rows = await self._messages.query(thread_id, HISTORY, limit=limit) if limit else []
        return [Message.model_validate(row) for row in rows]

    async def _take(self, request: Request) -> AcquiredLease | ReplayedTurn:
        if taken := await self._lease_for_new(request):
            return taken
        for _ in range(MAX_ATTEMPTS):
            outcome = await self._look_closer(request)
            if outcome is not None:
                return outcome._replace(at_once=False) if isinstance(outcome, AcquiredLease) else outcome
        raise StoreUnavailable

    async def _lease_for_new(self, request: Request) -> AcquiredLease | None:
        """Try to take the lease with the new message in it; ``None`` if that was refused."""
        lease = thread_changes(lease=request.lease(seq=None))
        try:
            if request.key_id is None:
                thread = await self._messages.patch(request.thread_id, request.thread_id, lease, lease_is_free(request.owner))
            else:
                # The key comes first: if it is known, that is what the batch is refused for.
                key = create(new_key_document(request.thread_id, request.key_id, request.new))
                take = patch(request.thread_id, lease, lease_is_free(request.owner))
                _, thread = await self._messages.batch(request.thread_id, [key, take])
        except PreconditionFailed:
            return None
        return await self._acquired(ThreadDocument.model_validate(thread))

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
        return await self._acquired(ThreadDocument.model_validate(thread))

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
            await self.end_expired(thread, lease)
            return None
        if key is None:
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
        return KeyDocument.model_validate(found) if found else None

    async def _acquired(self, thread: ThreadDocument) -> AcquiredLease | None:
        if thread.pending:
            return AcquiredLease(thread, thread.pending)
        message = await self._message(thread.id, thread.lease.seq) if thread.lease and thread.lease.seq else None
        return AcquiredLease(thread, answering_again(message, thread.lease)) if message and thread.lease else None

    async def _message(self, thread_id: str, seq: int) -> Message | None:
        found = await self._messages.read(thread_id, message_id(thread_id, seq))
        return Message.model_validate(found) if found else None

    async def _replay(self, thread: ThreadDocument, reply_seq: int) -> ReplayedTurn | None:
        # The process that committed may have died before it brought the row up to date.
        self._refresh_row(thread)
        reply = await self._message(thread.id, reply_seq)
        return ReplayedTurn(reply) if reply else None


def _commit_batch(turn: StartedTurn, message: Message, reply: Message | None, final_event_id: int) -> list[Operation]:
    thread = turn.thread
    last_seq = turn.reply_seq - 1 if turn.is_retry else turn.reply_seq - 2
    last = reply or message
    operations = [replace(message_document(message)) if turn.is_retry else create(message_document(message))]
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


def _clear_batch(thread: ThreadDocument, lease: Lease) -> list[Operation]:
    pending = thread.pending
    if pending:
        seq = pending.seq
        kept = create(message_document(pending.model_copy(update={"status": "interrupted"})))
        end = thread_changes(
            last_seq=seq, last_message_preview=preview(pending.content), updated_at=thread.now_not_before(), lease=None
        )
    else:
        seq = lease.seq or 0
        kept = patch(message_id(thread.id, seq), changes(status="interrupted", turn_id=lease.turn_id, problem=None))
        end = thread_changes(updated_at=thread.now_not_before(), lease=None)
    operations = [kept, create(interrupted_turn_document(thread.id, lease))]
    if lease.key_id:
        operations.append(patch(lease.key_id, changes(status="interrupted", seq=seq)))
    guard = condition(lease__turn_id=lease.turn_id) + less_than("lease.until", utcnow().timestamp())
    return [*operations, patch(thread.id, end, guard)]
