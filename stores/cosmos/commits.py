"""What a turn of Cosmos DB does while it holds its thread's lease: it keeps it, notes what acts, and ends with one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from calls import ToolCall
from errors import LeaseLost, StoreUnavailable
from models import utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed, gather_pair
from stores.cosmos.documents import Document, ThreadDocument, TurnDocument, key_id, message_document, turn_document
from stores.cosmos.history import CosmosHistory
from stores.cosmos.lease_document import OpenTurn
from stores.cosmos.leases import dumped, ended_message
from stores.cosmos.operations import Operation, create, patch
from stores.cosmos.patch import changes, condition, thread_changes
from stores.cosmos.reading import as_record
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.preview import preview
from stores.types import CancelRequested, StartedTurn, TurnEnd


class CosmosCommits:
    """Renews, notes and commits; of the thread whose row is out of date then, ``refresh_row`` is told.

    ``refresh_open_row`` is told of one that waits for somebody.
    """

    def __init__(
        self,
        messages: CosmosContainer,
        refresh_row: Callable[[ThreadDocument], None],
        refresh_open_row: Callable[[ThreadDocument], None],
        history: CosmosHistory,
    ) -> None:
        self._messages = messages
        self._refresh_row = refresh_row
        self._refresh_open_row = refresh_open_row
        self._history = history

    async def renew(self, turn: StartedTurn, lease_seconds: float) -> None:
        """Do what :meth:`ThreadStore.renew_lease` promises."""
        until = changes(lease__until=utcnow().timestamp() + lease_seconds)
        await self._write_lease(turn, until)

    async def record_calls(self, turn: StartedTurn, calls: Sequence[ToolCall]) -> None:
        """Do what :meth:`ThreadStore.record_calls` promises."""
        earlier = turn.message.tool_calls
        await self._write_lease(turn, changes(lease__calls=dumped([*earlier, *calls]), lease__earlier_calls=len(earlier)))

    async def _write_lease(self, turn: StartedTurn, written: list[Document]) -> None:
        try:
            await self._messages.patch(turn.thread.id, turn.thread.id, written, condition(lease__turn_id=turn.turn_id))
        except PreconditionFailed as refused:
            raise LeaseLost from refused

    async def commit(self, turn: StartedTurn, end: TurnEnd) -> None:
        """Do what :meth:`ThreadStore.commit_turn` promises."""
        for _ in range(MAX_ATTEMPTS):
            try:
                results = await self._messages.batch(turn.thread.id, _commit_batch(turn, end))
            except PreconditionFailed as refused:
                thread = await self._thread_after_refusal(turn, end, refused)
                if thread is None:
                    continue
            else:
                thread = as_record(ThreadDocument, results[-1])
                self._history.extend(thread, [end.message, end.reply] if end.reply else [end.message])
            (self._refresh_open_row if thread.open else self._refresh_row)(thread)
            return
        raise StoreUnavailable

    async def _thread_after_refusal(
        self, turn: StartedTurn, end: TurnEnd, refused: PreconditionFailed
    ) -> ThreadDocument | None:
        """Return the thread if an earlier attempt, whose answer was lost, had committed; ``None`` if it is worth another."""
        ended, thread = await gather_pair(
            self._messages.read(turn.thread.id, turn.turn_id), self._messages.read(turn.thread.id, turn.thread.id)
        )
        document = as_record(ThreadDocument, thread) if thread else None
        if document is None or document.deleting:
            raise LeaseLost from refused
        if ended and end.may_have_left(as_record(TurnDocument, ended).status):
            return document
        if document.lease is None or document.lease.turn_id != turn.turn_id:
            raise LeaseLost from refused
        if end.pause and document.lease.cancel_requested:
            raise CancelRequested from refused
        return None


def _commit_batch(turn: StartedTurn, end: TurnEnd) -> list[Operation]:
    thread, message, reply = turn.thread, end.message, end.reply
    last_seq = turn.reply_seq - 1 if turn.is_retry else turn.reply_seq - 2
    last = reply or message
    operations = [ended_message(message) if turn.is_retry else create(message_document(message))]
    if reply:
        operations.append(create(message_document(reply)))
    if end.settled:
        operations.append(patch(end.settled.id, changes(tool_calls=dumped(end.settled.tool_calls))))
    operations.append(create(turn_document(turn, end)))
    if turn.idempotency_key is not None:
        ended = changes(status=message.status, seq=message.seq, reply_seq=reply.seq if reply else None)
        operations.append(patch(key_id(turn.idempotency_key), ended, condition(turn_id=turn.turn_id)))
    shown: dict[str, Any] = {"last_message_preview": preview(last.content)} if last.seq > last_seq else {}
    if end.pause and reply:
        shown["open"] = OpenTurn(turn_id=turn.turn_id, seq=reply.seq, question_seq=message.seq).model_dump()
    ended_at = max(utcnow(), thread.updated_at)
    freed = thread_changes(last_seq=max(last_seq, last.seq), updated_at=ended_at, lease=None, **shown)
    wanted = {"lease__cancel_requested": False} if end.pause else {}
    guard = condition(lease__turn_id=turn.turn_id, last_seq=last_seq, deleting=False, **wanted)
    return [*operations, patch(thread.id, freed, guard)]
