"""Leases in Cosmos DB that end otherwise than by a commit: those that expire, and those of turns that could not begin."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from calls import ToolCall
from errors import StoreError
from models import Message, message_id, utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.documents import Document, ThreadDocument, interrupted_turn_document, message_document
from stores.cosmos.lease_document import Lease
from stores.cosmos.operations import Operation, create, delete, patch
from stores.cosmos.patch import changes, condition, less_than, thread_changes
from stores.cosmos.reading import as_record
from stores.preview import preview
from stores.telemetry import count_unknown

logger = logging.getLogger(__name__)


class CosmosLeases:
    """Ends leases; ``refresh_row`` is told of every thread whose row is out of date then."""

    def __init__(self, messages: CosmosContainer, refresh_row: Callable[[ThreadDocument], None]) -> None:
        self._messages = messages
        self._refresh_row = refresh_row

    async def give_back(self, thread_id: str, turn_id: str, key_id: str | None) -> None:
        """Free the thread, if this turn holds it, in one write that takes its new message and key out again.

        Best effort: where it fails the lease expires, and the message stays as one that was interrupted.
        """
        # Nothing is read: a lagging replica would not know of the lease.
        free = thread_changes(lease=None)
        try:
            if key_id and await self._wrote(thread_id, [patch(thread_id, free, _of_new_message(turn_id)), delete(key_id)]):
                return
            await self._wrote(thread_id, [patch(thread_id, free, condition(lease__turn_id=turn_id))])
        except StoreError:
            logger.warning("lease of turn %s not given back: it will expire", turn_id, exc_info=True)

    async def _wrote(self, thread_id: str, operations: list[Operation]) -> bool:
        try:
            await self._messages.batch(thread_id, operations)
        except PreconditionFailed:
            return False
        return True

    async def end_expired(self, thread: ThreadDocument, lease: Lease) -> None:
        """End a turn whose lease has expired as interrupted, unless somebody else is quicker; its message stays."""
        try:
            results = await self._messages.batch(thread.id, _clear_batch(thread, lease))
        except PreconditionFailed:
            await self._drop_late(thread, lease)
        else:
            # Which tools were approved stands in the paused reply, which is not read for a count.
            count_unknown([call.tool for call in lease.calls[lease.earlier_calls :]] + ["_OTHER"] * len(lease.approved))
            self._refresh_row(as_record(ThreadDocument, results[-1]))

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
        self._refresh_row(as_record(ThreadDocument, document))


def ended_message(message: Message) -> Operation:
    """Return what ends a message that was there already, whatever else is in its document."""
    problem = message.problem.model_dump(mode="json") if message.problem else None
    acted = {"tool_calls": dumped(message.tool_calls)} if message.tool_calls else {}
    return patch(message.id, changes(status=message.status, turn_id=message.turn_id, problem=problem, **acted))


def dumped(calls: Sequence[ToolCall]) -> list[Document]:
    """Return tool calls as they are stored."""
    return [call.model_dump(mode="json") for call in calls]


def _of_new_message(turn_id: str) -> str:
    """Return the condition that a turn holds the thread for a message that is not a document yet."""
    return condition(lease__turn_id=turn_id, lease__seq=None)


def _clear_batch(thread: ThreadDocument, lease: Lease) -> list[Operation]:
    pending = thread.pending
    if pending:
        seq = pending.seq
        document = message_document(pending.model_copy(update={"status": "interrupted", "tool_calls": lease.calls}))
        kept = create({**(lease.message.model_extra or {} if lease.message else {}), **document})
        end = thread_changes(
            last_seq=seq, last_message_preview=preview(pending.content), updated_at=thread.now_not_before(), lease=None
        )
    else:
        seq = lease.seq or 0
        acted = {"tool_calls": dumped(lease.calls)} if lease.calls else {}
        kept = patch(message_id(thread.id, seq), changes(status="interrupted", turn_id=lease.turn_id, problem=None, **acted))
        end = thread_changes(updated_at=thread.now_not_before(), lease=None)
    operations = [kept, create(interrupted_turn_document(thread.id, lease))]
    if lease.key_id:
        operations.append(patch(lease.key_id, changes(status="interrupted", seq=seq)))
    guard = condition(lease__turn_id=lease.turn_id) + less_than("lease.until", utcnow().timestamp())
    return [*operations, patch(thread.id, end, guard)]
