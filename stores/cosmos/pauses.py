"""Paused turns in Cosmos DB that nobody goes on with, and the tools that need not ask in a thread."""

from __future__ import annotations

from collections.abc import Callable

from calls import Decider, refuse_open
from errors import StoreUnavailable, ThreadNotFound, TurnEnded, TurnNotFound
from models import Owner, message_id, timestamp, utcnow
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.documents import ThreadDocument
from stores.cosmos.lease_document import OpenTurn
from stores.cosmos.leases import dumped
from stores.cosmos.operations import patch
from stores.cosmos.patch import changes, condition, thread_changes
from stores.cosmos.reading import as_record, require_owned
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.cosmos.turn_requests import TurnReader
from stores.types import Approval


class CosmosPauses:
    """Ends paused turns as cancelled; ``refresh_row`` is told of the thread whose row is out of date then."""

    def __init__(self, messages: CosmosContainer, reader: TurnReader, refresh_row: Callable[[ThreadDocument], None]) -> None:
        self._messages = messages
        self._reader = reader
        self._refresh_row = refresh_row

    async def close(self, thread: ThreadDocument, paused: OpenTurn, by: Decider) -> None:
        """Refuse what is open and end the turn as cancelled, in one batch, unless somebody else has decided meanwhile."""
        reply = await self._reader.message(thread.id, paused.seq)
        if reply is None:
            # Read on a replica that lags behind the thread's.
            await self._messages.catch_up(thread.id, message_id(thread.id, paused.seq))
            return
        refused = dumped(refuse_open(reply.tool_calls, by))
        is_open = condition(deleting=False, open__turn_id=paused.turn_id)
        batch = [
            patch(reply.id, changes(tool_calls=refused, status="cancelled")),
            patch(message_id(thread.id, paused.question_seq), changes(status="cancelled"), condition(turn_id=paused.turn_id)),
            patch(paused.turn_id, changes(status="cancelled", pause=None)),
            patch(thread.id, thread_changes(open=None), is_open),
        ]
        try:
            results = await self._messages.batch(thread.id, batch)
        except PreconditionFailed:
            return
        self._refresh_row(as_record(ThreadDocument, results[-1]))

    async def cancel(self, owner: Owner, thread_id: str, turn_id: str, by: Decider) -> None:
        """Do what :meth:`ThreadStore.cancel_paused` promises."""
        await self._messages.catch_up(thread_id, thread_id)
        for _ in range(MAX_ATTEMPTS):
            thread = require_owned(owner, thread_id, await self._messages.read(thread_id, thread_id))
            if thread.open is None or thread.open.turn_id != turn_id:
                break
            await self.close(thread, thread.open, by)
            turn = await self._reader.turn(thread_id, turn_id)
            if turn and turn.status == "cancelled":
                return
        else:
            raise StoreUnavailable
        # One whose lease has expired has no document before somebody ends it.
        is_known = (thread.lease and thread.lease.turn_id == turn_id) or await self._reader.turn(thread_id, turn_id)
        raise TurnEnded if is_known else TurnNotFound(turn_id)

    async def list_approvals(self, owner: Owner, thread_id: str) -> list[Approval]:
        """Do what :meth:`ThreadStore.list_approvals` promises."""
        thread = require_owned(owner, thread_id, await self._messages.find(thread_id, thread_id))
        return [Approval.model_validate({"tool": tool, "created_at": at}) for tool, at in sorted(thread.approvals.items())]

    async def remove_approvals(self, owner: Owner, thread_id: str) -> None:
        """Do what :meth:`ThreadStore.remove_approvals` promises."""
        mine = condition(owner_hash=owner.hash, deleting=False)
        try:
            await self._messages.patch(thread_id, thread_id, thread_changes(approvals={}), mine)
        except PreconditionFailed as refused:
            raise ThreadNotFound(thread_id) from refused


def remembered(thread: ThreadDocument, tools: frozenset[str]) -> dict[str, str]:
    """Return the tools that need not ask in a thread, and since when, with these, too."""
    return {tool: timestamp(utcnow()) for tool in sorted(tools)} | thread.approvals
