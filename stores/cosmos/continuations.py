"""Going on with a paused turn in Cosmos DB: the decision is the batch that takes the lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from errors import CallsUndecided, StoreUnavailable, TurnContinued, TurnEnded, TurnNotFound
from models import Message, message_id
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.documents import KeyDocument, ThreadDocument, TurnDocument, answering_again, new_key_document
from stores.cosmos.history import CosmosHistory
from stores.cosmos.lease_document import Lease
from stores.cosmos.leases import CosmosLeases, dumped
from stores.cosmos.operations import Operation, create, patch
from stores.cosmos.patch import changes, condition, lease_is_free, thread_changes
from stores.cosmos.pauses import remembered
from stores.cosmos.reading import as_record
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.cosmos.turn_requests import Request, TurnReader
from stores.types import NewContinuation, Pause, ReplayedTurn, StartedTurn


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

    async def begin(self, request: Request[NewContinuation], history_limit: int) -> StartedTurn | ReplayedTurn:
        """Do what :meth:`ThreadStore.begin_continuation` promises."""
        await self._messages.catch_up(request.thread_id, request.thread_id)
        for _ in range(MAX_ATTEMPTS):
            if begun := await self._try_to_begin(request, history_limit):
                return begun
        raise StoreUnavailable

    async def _try_to_begin(self, request: Request[NewContinuation], history_limit: int) -> StartedTurn | ReplayedTurn | None:
        """Return the turn, or the answer that there is; ``None`` if things have changed: look again."""
        new = request.new
        thread, key = await self._reader.thread_and_key(request)
        lease = thread.lease
        if key and key.reply_seq:
            return await self._reader.replay(thread, key.reply_seq)
        turns = await self._reader.turn_with_paused(thread.id, new.paused_turn_id)
        if lease and lease.turn_id == new.turn_id:
            # The answer to the decision was lost.
            self._refresh_row(thread)
            said = await self._said(thread, lease.seq, turns, history_limit)
            return _started(request, thread, lease, said) if said else None
        if not turns:
            raise TurnEnded if lease and lease.turn_id == new.paused_turn_id else TurnNotFound(new.paused_turn_id)
        if turns[-1].status != "paused":
            raise TurnEnded
        if lease and lease.seconds_left() > 0:
            raise lease.in_progress() if key and lease.continues == new.paused_turn_id else TurnContinued
        if lease:
            await self._leases.end_expired(thread, lease)
            return None
        seq, batch = _attempt(request, thread, key, turns[-1]) if key else _decision(request, thread)
        # Before the decision: behind it, a failure would leave calls unknown that were never started.
        said = await self._said(thread, seq, turns, history_limit)
        if said and key is None:
            said.replies[-1] = said.replies[-1].model_copy(update={"tool_calls": list(new.calls or ())})
        return await self._take(request, batch, said) if said else None

    async def _said(
        self, thread: ThreadDocument, seq: int | None, turns: list[TurnDocument], history_limit: int
    ) -> _Said | None:
        """Read what a turn goes on with; ``None`` if it is not all there yet on the replica that is read."""
        question = await self._reader.message(thread.id, seq) if seq else None
        seqs = [turn.reply_seq for turn in turns if turn.reply_seq]
        if question is None or not seqs:
            return None
        # Not those that are known here: the paused reply changes in its place.
        latest = await self._history.read(thread.id, history_limit + 1 + thread.last_seq - seqs[0] + 1)
        by_seq = {message.seq: message for message in reversed(latest)}
        earlier = [message for message in by_seq.values() if message.seq < seqs[0] and message.seq != seq]
        if not by_seq.keys() >= set(seqs):
            return None
        replies = [by_seq[each] for each in seqs]
        return _Said(question, replies, earlier[-history_limit:] if history_limit else [], turns[-1].pause or Pause())

    async def _take(self, request: Request[NewContinuation], batch: list[Operation], said: _Said) -> StartedTurn | None:
        try:
            results = await self._messages.batch(request.thread_id, batch)
        except PreconditionFailed:
            return None
        thread = as_record(ThreadDocument, results[-1])
        self._refresh_row(thread)
        return _started(request, thread, thread.lease, said) if thread.lease else None


@dataclass(frozen=True, slots=True)
class _Said:
    """The message that is answered, the replies to it so far, oldest first, and what came before them."""

    question: Message
    replies: list[Message]
    history: list[Message]
    pause: Pause


def _started(request: Request[NewContinuation], thread: ThreadDocument, lease: Lease, said: _Said) -> StartedTurn:
    return StartedTurn(
        owner=request.owner,
        thread=thread.thread,
        turn_id=request.new.turn_id,
        message=answering_again(said.question, lease),
        history=said.history,
        reply_seq=thread.last_seq + 1,
        started_at=lease.started_at,
        is_retry=True,
        idempotency_key=request.new.idempotency_key,
        paused=said.replies,
        pause=said.pause,
        continues=request.new.paused_turn_id,
        approved=frozenset(lease.approved),
        allowed_tools=frozenset(thread.approvals),
    )


def _decision(request: Request[NewContinuation], thread: ThreadDocument) -> tuple[int, list[Operation]]:
    """Return the place of the message, and the batch that decides: whoever writes it, is the first.

    :raises TurnContinued: if there is nothing to decide about.
    """
    new, open = request.new, thread.open
    if open is None or open.turn_id != new.paused_turn_id:
        raise TurnContinued
    if new.calls is None:
        raise CallsUndecided
    taken = thread_changes(
        lease=request.lease(seq=open.question_seq, approved=new.approved),
        open=None,
        approvals=remembered(thread, new.remembered),
    )
    # As it was read: also what need not ask any more may have been taken back since then.
    is_open = condition(
        owner_hash=thread.owner_hash, deleting=False, lease=None, open__turn_id=new.paused_turn_id, rev=thread.rev
    )
    key = [create(new_key_document(thread.id, request.key_id, new, seq=open.question_seq))] if request.key_id else []
    return open.question_seq, [
        *key,
        patch(message_id(thread.id, open.seq), changes(tool_calls=dumped(new.calls))),
        _continued(new),
        patch(thread.id, taken, is_open),
    ]


def _attempt(
    request: Request[NewContinuation], thread: ThreadDocument, key: KeyDocument, paused: TurnDocument
) -> tuple[int, list[Operation]]:
    """Return the place of the message, and the batch that begins another attempt for a known key: the calls stay as they are.

    :raises TurnContinued: if something came behind the paused reply.
    """
    if thread.open or thread.last_seq != paused.reply_seq or key.seq is None:
        raise TurnContinued
    free = lease_is_free(request.owner) + f" AND c.rev = {thread.rev}"
    return key.seq, [
        request.takes_key(key),
        _continued(request.new),
        patch(thread.id, thread_changes(lease=request.lease(seq=key.seq)), free),
    ]


def _continued(new: NewContinuation) -> Operation:
    """Return the write that tells of the paused turn which one goes on with it."""
    return patch(new.paused_turn_id, changes(continued_by=new.turn_id), condition(status="paused"))
