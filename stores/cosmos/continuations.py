"""Going on with a paused turn in Cosmos DB: the decision is the batch that takes the lease."""

from __future__ import annotations

from collections.abc import Callable

from errors import StoreUnavailable, TurnContinued, TurnEnded, TurnNotFound
from models import message_id
from stores.cosmos.container import CosmosContainer, PreconditionFailed, gather_pair
from stores.cosmos.documents import KeyDocument, ThreadDocument, TurnDocument, answering_again, new_key_document
from stores.cosmos.history import CosmosHistory
from stores.cosmos.lease_document import OpenTurn
from stores.cosmos.leases import CosmosLeases, dumped
from stores.cosmos.operations import Operation, create, patch
from stores.cosmos.patch import changes, condition, lease_is_free, thread_changes
from stores.cosmos.pauses import remembered
from stores.cosmos.reading import as_record
from stores.cosmos.turn_requests import Request, TurnReader
from stores.types import NewContinuation, Pause, ReplayedTurn, StartedTurn

MAX_ATTEMPTS = 8


class CosmosContinuations:
    """Begins turns that go on with a paused one.

    A decision whose caller is gone before it is known stays: its calls are `unknown`, and its lease expires. ``refresh_row`` is
    told of the thread that waits for nobody any more.
    """

    def __init__(
        self,
        messages: CosmosContainer,
        leases: CosmosLeases,
        reader: TurnReader,
        history: CosmosHistory,
        refresh_row: Callable[[ThreadDocument], None],
    ) -> None:
        self._refresh_row = refresh_row
        self._messages = messages
        self._leases = leases
        self._reader = reader
        self._history = history

    async def begin(self, request: Request, new: NewContinuation, history_limit: int) -> StartedTurn | ReplayedTurn:
        """Do what :meth:`ThreadStore.begin_continuation` promises."""
        await self._messages.catch_up(request.thread_id, request.thread_id)
        for _ in range(MAX_ATTEMPTS):
            found = await self._try_to_begin(request, new)
            if isinstance(found, ReplayedTurn):
                return found
            if found is not None:
                return await self._started(request, new, found, history_limit)
        raise StoreUnavailable

    async def _try_to_begin(self, request: Request, new: NewContinuation) -> ThreadDocument | ReplayedTurn | None:
        """Return the thread with its lease, or the answer that there is; ``None`` if things have changed: look again."""
        thread, key = await self._reader.thread_and_key(request)
        lease = thread.lease
        if lease and lease.turn_id == new.turn_id:
            return thread
        if key and key.reply_seq:
            return await self._reader.replay(thread, key.reply_seq)
        paused = await self._reader.turn(thread.id, new.paused_turn_id)
        if paused is None:
            raise TurnNotFound(new.paused_turn_id)
        if paused.status != "paused":
            raise TurnEnded
        if lease and lease.seconds_left() > 0:
            raise TurnContinued
        if lease:
            await self._leases.end_expired(thread, lease)
            return None
        return await self._take(request, new, thread, key, paused)

    async def _take(
        self,
        request: Request,
        new: NewContinuation,
        thread: ThreadDocument,
        key: KeyDocument | None,
        paused: TurnDocument,
    ) -> ThreadDocument | None:
        if key:
            if thread.open or thread.last_seq != paused.reply_seq or key.seq is None:
                raise TurnContinued
            batch = _attempt(request, new, thread, key)
        else:
            if new.calls is None or thread.open is None or thread.open.turn_id != new.paused_turn_id:
                raise TurnContinued
            batch = _decision(request, new, thread, thread.open)
        try:
            results = await self._messages.batch(thread.id, batch)
        except PreconditionFailed:
            return None
        taken = as_record(ThreadDocument, results[-1])
        self._refresh_row(taken)
        return taken

    async def _started(self, request: Request, new: NewContinuation, thread: ThreadDocument, history_limit: int) -> StartedTurn:
        lease = thread.lease
        if lease is None or lease.seq is None:
            raise StoreUnavailable
        question, turns = await gather_pair(
            self._reader.message(thread.id, lease.seq), self._reader.turn_with_paused(thread.id, new.paused_turn_id)
        )
        seqs = [turn.reply_seq for turn in turns if turn.reply_seq]
        if not seqs or question is None:
            raise StoreUnavailable
        # Not those that are known here: the paused reply has changed in its place.
        latest = await self._history.read(thread.id, history_limit + 1 + thread.last_seq - seqs[0] + 1)
        by_seq = {message.seq: message for message in reversed(latest)}
        earlier = [message for seq, message in by_seq.items() if seq < seqs[0] and seq != lease.seq]
        return StartedTurn(
            owner=request.owner,
            thread=thread.thread,
            turn_id=new.turn_id,
            message=answering_again(question, lease),
            history=earlier[-history_limit:] if history_limit else [],
            reply_seq=thread.last_seq + 1,
            started_at=lease.started_at,
            is_retry=True,
            idempotency_key=new.idempotency_key,
            paused=[by_seq[seq] for seq in seqs],
            pause=turns[-1].pause or Pause(),
            continues=new.paused_turn_id,
            approved=frozenset(lease.approved),
            allowed_tools=frozenset(thread.approvals),
        )


def _decision(request: Request, new: NewContinuation, thread: ThreadDocument, open: OpenTurn) -> list[Operation]:
    """Return the batch that decides: whoever writes it, is the first."""
    taken = thread_changes(
        lease=request.lease(seq=open.question_seq, approved=new.approved),
        open=None,
        approvals=remembered(thread, new.remembered),
    )
    # As it was read: what need not ask any more may have been taken back since then.
    is_open = condition(
        owner_hash=thread.owner_hash, deleting=False, lease=None, open__turn_id=new.paused_turn_id, rev=thread.rev
    )
    key = [create(new_key_document(thread.id, request.key_id, new, seq=open.question_seq))] if request.key_id else []
    return [
        *key,
        patch(message_id(thread.id, open.seq), changes(tool_calls=dumped(new.calls or ()))),
        patch(new.paused_turn_id, changes(continued_by=new.turn_id), condition(status="paused")),
        patch(thread.id, taken, is_open),
    ]


def _attempt(request: Request, new: NewContinuation, thread: ThreadDocument, key: KeyDocument) -> list[Operation]:
    """Return the batch that begins another attempt for a known key: the calls stay as they are."""
    free = lease_is_free(request.owner) + f" AND c.last_seq = {thread.last_seq}"
    return [
        patch(key.id, changes(turn_id=new.turn_id, status="running"), condition(turn_id=key.turn_id, status=key.status)),
        patch(new.paused_turn_id, changes(continued_by=new.turn_id), condition(status="paused")),
        patch(thread.id, thread_changes(lease=request.lease(seq=key.seq)), free),
    ]
