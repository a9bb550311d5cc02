"""Turns in Cosmos DB as others see them: how far one is, its events, and the wish to cancel it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from pydantic_core import from_json

from errors import LeaseLost, StoreUnavailable, ThreadNotFound, TurnEnded, TurnNotFound
from events import TurnEvent, stored_events
from models import TURN_ID_PATTERN, Message, Owner, Turn, message_id
from stores.cosmos.container import CosmosContainer, PreconditionFailed, gather_pair
from stores.cosmos.definitions import kind
from stores.cosmos.documents import VERSION, Document, ThreadDocument, TurnDocument
from stores.cosmos.lease_document import Lease
from stores.cosmos.operations import create, read
from stores.cosmos.patch import changes, condition
from stores.cosmos.reading import as_record, require_owned
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.types import EventBatch, StartedTurn, TurnProgress

# By id, which Cosmos DB indexes always: it ends with the number of the document's last event.
EVENTS = "SELECT c.events FROM c WHERE c.id > @after AND c.id <= @end ORDER BY c.id"
TURNS = f"SELECT TOP @limit * FROM c WHERE {kind('turn')} AND c.id > @after ORDER BY c.id"  # noqa: S608 - our own text
MAX_EVENT_ID = 999_999_999
# All of a process's turns wait for the slowest: a partition that is throttled must not hold up the events of the others.
SAVE_SECONDS = 3.0
logger = logging.getLogger(__name__)


class CosmosProgress:
    """Reads and writes what belongs to a turn besides its messages; ``end_expired`` ends the turn of an expired lease."""

    def __init__(
        self,
        messages: CosmosContainer,
        end_expired: Callable[[ThreadDocument, Lease], Awaitable[None]],
        *,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        self._messages = messages
        self._end_expired = end_expired
        self._save_seconds = save_seconds

    async def request_cancel(self, owner: Owner, thread_id: str, turn_id: str) -> None:
        """Do what :meth:`ThreadStore.request_cancel` promises."""
        if not re.fullmatch(TURN_ID_PATTERN, turn_id):
            await self.get(owner, thread_id, turn_id, None)
        holds = condition(owner_hash=owner.hash, deleting=False, lease__turn_id=turn_id)
        try:
            found = await self._messages.patch(thread_id, thread_id, changes(lease__cancel_requested=True), holds)
        except PreconditionFailed as refused:
            await self.get(owner, thread_id, turn_id, None)
            raise TurnEnded from refused
        lease = as_record(ThreadDocument, found).lease
        if lease is None or lease.seconds_left() <= 0:
            raise TurnEnded

    async def is_cancel_requested(self, turn: StartedTurn) -> bool:
        """Do what :meth:`ThreadStore.is_cancel_requested` promises."""
        lease = await self._lease(turn)
        if lease is None:
            # Before the turn is given up: the replica may lag, and the session's token have been.
            await self._messages.catch_up(turn.thread.id, turn.thread.id)
            lease = await self._lease(turn)
        if lease is None:
            raise LeaseLost
        return lease.cancel_requested

    async def _lease(self, turn: StartedTurn) -> Lease | None:
        found = await self._messages.read(turn.thread.id, turn.thread.id)
        lease = as_record(ThreadDocument, found).lease if found else None
        return lease if lease and lease.turn_id == turn.turn_id else None

    async def save_events(self, batches: Sequence[EventBatch]) -> list[Exception | None]:
        """Do what :meth:`ThreadStore.save_events` promises."""
        return await asyncio.gather(*map(self._save, batches))

    async def list_turns(self, owner: Owner, thread_id: str, limit: int, after: str | None) -> list[Turn]:
        """Do what :meth:`ThreadStore.list_turns` promises."""
        found = partial(self._messages.query, thread_id, TURNS, limit=limit, after=after or "")
        thread, rows = await gather_pair(self._messages.read(thread_id, thread_id), found())
        if thread is None:
            # The turns were read on the same replica, which has not heard of the thread.
            thread, rows = await self._messages.find(thread_id, thread_id), await found()
        require_owned(owner, thread_id, thread)
        return [as_record(TurnDocument, row).turn for row in rows]

    async def get(self, owner: Owner, thread_id: str, turn_id: str, after: int | None) -> TurnProgress:
        """Do what :meth:`ThreadStore.get_progress` promises."""
        if not re.fullmatch(TURN_ID_PATTERN, turn_id):
            require_owned(owner, thread_id, await self._messages.find(thread_id, thread_id))
            raise TurnNotFound(turn_id)
        caught_up = False
        for _ in range(MAX_ATTEMPTS):
            try:
                progress = await self._try_get(owner, thread_id, turn_id, after)
            except (ThreadNotFound, TurnNotFound):
                if caught_up:
                    raise
                await self._messages.catch_up(thread_id, thread_id)
                caught_up = True
            else:
                if progress:
                    return progress
        raise StoreUnavailable

    async def _try_get(self, owner: Owner, thread_id: str, turn_id: str, after: int | None) -> TurnProgress | None:
        """Read how a turn stands; ``None`` if it had expired and was ended: look again."""
        found, events = await gather_pair(self._messages.read(thread_id, thread_id), self._events(thread_id, turn_id, after))
        thread = require_owned(owner, thread_id, found)
        lease = thread.lease if thread.lease and thread.lease.turn_id == turn_id else None
        # After the thread: a turn that has no lease any more has its document. One that has a lease may have it too, if that
        # was written late (see CosmosLeases), but then its end has moved ``updated_at`` behind its start.
        ended = None
        if lease is None or lease.started_at <= thread.updated_at:
            ended = await self._messages.read(thread_id, turn_id)
        if ended:
            return await self._ended(as_record(TurnDocument, ended), events)
        if lease is None:
            raise TurnNotFound(turn_id)
        if lease.seconds_left() <= 0:
            await self._end_expired(thread, lease)
            return None
        turn = Turn(
            id=turn_id,
            thread_id=thread_id,
            status="running",
            started_at=lease.started_at,
            cancelled_turn_id=lease.cancelled_turn_id,
            continues=lease.continues,
        )
        return TurnProgress(turn, events, None)

    async def _save(self, batch: EventBatch) -> Exception | None:
        """Store events, if their thread is there: they must not outlive it."""
        try:
            document = _events_document(batch)
            async with asyncio.timeout(self._save_seconds):
                thread, _ = await self._messages.batch(batch.thread_id, [read(batch.thread_id), create(document)])
            if batch.thread_created_at not in (None, as_record(ThreadDocument, thread).created_at):
                # A condition on the thread would have to write to it.
                await self._messages.delete(batch.thread_id, document["id"])
        except TimeoutError:
            return StoreUnavailable()
        except PreconditionFailed:
            logger.debug("events of turn %s are stored already, or its thread is gone", batch.turn_id)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with this batch must not keep the others from being told
            return error
        return None

    async def _ended(self, document: TurnDocument, events: list[TurnEvent]) -> TurnProgress:
        message = None
        if document.reply_seq:
            found = await self._messages.read(document.thread_id, message_id(document.thread_id, document.reply_seq))
            if found is None:
                # They came in one batch: only a deletion takes one of them away.
                raise ThreadNotFound(document.thread_id)
            message = as_record(Message, found)
        turn = document.turn.model_copy(update={"message": message})
        return TurnProgress(turn, events, document.final_event_id, document.events_kept)

    async def _events(self, thread_id: str, turn_id: str, after: int | None) -> list[TurnEvent]:
        if after is None:
            return []
        rows = await self._messages.query(
            thread_id, EVENTS, after=_events_id(turn_id, after), end=_events_id(turn_id, MAX_EVENT_ID)
        )
        events = stored_events(event for row in rows for event in row["events"])
        return _without_repeats([event for event in events if event.id > after])


def _events_document(batch: EventBatch) -> Document:
    return {
        "id": _events_id(batch.turn_id, batch.events[-1].id),
        "thread_id": batch.thread_id,
        "type": "events",
        "v": VERSION,
        "ttl": batch.seconds_to_live,
        "events": [from_json(event.to_json()) for event in batch.events],
    }


def _events_id(turn_id: str, last: int) -> str:
    return f"events_{turn_id}_{last:09}"


def _without_repeats(events: list[TurnEvent]) -> list[TurnEvent]:
    """Drop events that an earlier document has too: one that was written although its writer heard of a failure."""
    kept: list[TurnEvent] = []
    for event in events:
        if not kept or event.id > kept[-1].id:
            kept.append(event)
    return kept
