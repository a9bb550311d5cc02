"""How turns begin in Cosmos DB: the lease on a thread, with the message in it.

A turn costs two requests in sequence: one conditional write that takes the lease, and one batch that commits. Beside the first,
the history is queried, unless it is known here. Only when the first write is refused is anything read to find out why.
"""

from __future__ import annotations

import asyncio

from calls import WENT_ON, Decider
from errors import (
    IdempotencyKeyReused,
    StoreUnavailable,
    ThreadFull,
    ThreadNotFound,
    TurnInProgress,
)
from models import utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.documents import KeyDocument, ThreadDocument, new_key_document
from stores.cosmos.history import CosmosHistory
from stores.cosmos.leases import CosmosLeases
from stores.cosmos.operations import create, patch
from stores.cosmos.patch import lease_is_free, less_than, thread_changes
from stores.cosmos.pauses import CosmosPauses
from stores.cosmos.reading import as_record
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.cosmos.turn_requests import AcquiredLease, Request, TurnReader
from stores.limits import StoreLimits
from stores.types import NewMessage, NewTurn, ReplayedTurn, StartedTurn

GIVE_BACK_SECONDS = 5.0
Taking = asyncio.Task[AcquiredLease | None]


class CosmosTurns:
    """Begins turns with messages."""

    def __init__(
        self,
        messages: CosmosContainer,
        leases: CosmosLeases,
        reader: TurnReader,
        pauses: CosmosPauses,
        history: CosmosHistory,
        limits: StoreLimits,
    ) -> None:
        self._limits = limits
        self._history = history
        self._messages = messages
        self._leases = leases
        self._reader = reader
        self._pauses = pauses

    async def begin(self, request: Request[NewMessage], history_limit: int) -> StartedTurn | ReplayedTurn:
        """Do what :meth:`ThreadStore.begin_turn` promises."""
        taking = asyncio.create_task(self._lease_for_new(request))
        try:
            return await self._begin(request, history_limit, taking)
        except (ThreadNotFound, ThreadFull, TurnInProgress, IdempotencyKeyReused):
            raise
        except BaseException:
            # Whoever is stopping, too: the message was not accepted, and nobody would answer it.
            giving_back = asyncio.create_task(self._give_back(request, taking))
            await asyncio.wait({giving_back}, timeout=GIVE_BACK_SECONDS)
            giving_back.cancel()
            raise

    async def _give_back(self, request: Request[NewMessage], taking: Taking) -> None:
        # A write that is still on its way would come after ours.
        await asyncio.gather(taking, return_exceptions=True)
        await self._leases.give_back(request.thread_id, request.new.turn_id, request.key_id)

    async def _begin(self, request: Request[NewMessage], history_limit: int, taking: Taking) -> StartedTurn | ReplayedTurn:
        # One more: the message of an earlier attempt may be among the latest, and is not its own history.
        limit = history_limit + 1 if history_limit else 0
        taken, beside = await self._history.beside(asyncio.shield(taking), request.owner, request.thread_id, limit)
        if taken is None:
            outcome = await self._take_after_refusal(request)
            if isinstance(outcome, ReplayedTurn):
                return outcome
            taken, beside = outcome, None
        thread, lease, message = taken
        latest = await self._history.latest(thread, limit, beside)
        history = [earlier for earlier in latest if earlier.seq != message.seq][:history_limit]
        return StartedTurn(
            owner=request.owner,
            thread=thread.thread,
            turn_id=request.new.turn_id,
            message=message,
            history=history[::-1],
            reply_seq=max(thread.last_seq, message.seq) + 1,
            started_at=lease.started_at,
            is_retry=message.seq <= thread.last_seq,
            idempotency_key=request.new.idempotency_key,
            allowed_tools=frozenset(thread.approvals),
            cancelled_turn_id=lease.cancelled_turn_id,
        )

    async def find_replay(self, request: Request[NewTurn]) -> ReplayedTurn | None:
        """Do what :meth:`ThreadStore.find_replay` promises."""
        await self._messages.catch_up(request.thread_id, request.thread_id)
        thread, key = await self._reader.thread_and_key(request)
        return await self._reader.replay(thread, key.reply_seq) if key and key.reply_seq else None

    async def _take_after_refusal(self, request: Request[NewMessage]) -> AcquiredLease | ReplayedTurn:
        for _ in range(MAX_ATTEMPTS):
            outcome = await self._resolve_refusal(request)
            if outcome is not None:
                return outcome
        raise StoreUnavailable

    async def _lease_for_new(self, request: Request[NewMessage]) -> AcquiredLease | None:
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
        return await self._reader.acquired(as_record(ThreadDocument, thread))

    async def _lease_again(self, request: Request[NewMessage], key: KeyDocument) -> AcquiredLease | None:
        """Try to take the lease for the message that an earlier attempt has left at ``key.seq``."""
        take = patch(request.thread_id, thread_changes(lease=request.lease(seq=key.seq)), lease_is_free(request.owner))
        try:
            _, thread = await self._messages.batch(request.thread_id, [request.takes_key(key), take])
        except PreconditionFailed:
            return None
        return await self._reader.acquired(as_record(ThreadDocument, thread))

    async def _resolve_refusal(self, request: Request[NewMessage]) -> AcquiredLease | ReplayedTurn | None:
        """Read why the lease was refused and act on it; ``None`` means that things have changed: look again."""
        thread, key = await self._reader.thread_and_key(request)
        lease = thread.lease
        if lease and lease.turn_id == request.new.turn_id:
            return await self._reader.acquired(thread)
        if key and key.reply_seq:
            return await self._reader.replay(thread, key.reply_seq)
        if lease and lease.seconds_left() > 0:
            raise lease.in_progress()
        if lease:
            await self._leases.end_expired(thread, lease)
            return None
        if key is None:
            self._limits.check_messages(thread.last_seq)
        if thread.open:
            await self._pauses.close(thread, thread.open, Decider(request.owner.user, utcnow(), WENT_ON))
            return None
        if key is None:
            return await self._lease_for_new(request)
        return await self._lease_again(request, key) if key.seq else None
