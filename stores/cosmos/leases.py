"""A thread's lease in Cosmos DB: what asks for it, what was taken, and how it is given back by a turn that never began."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import NamedTuple

from errors import ChatError, StoreError
from models import Message, Owner, utcnow
from stores.cosmos.container import CosmosContainer, Operation, PreconditionFailed, delete, patch
from stores.cosmos.documents import Document, Lease, PendingMessage, ThreadDocument, key_id
from stores.cosmos.patch import changes, condition, thread_changes
from stores.types import NewMessage, ReplayedTurn

RELEASE_SECONDS = 5.0
logger = logging.getLogger(__name__)


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
    """A lease that was taken: the thread with it, and the message that it answers; ``at_once`` unless refused at first."""

    thread: ThreadDocument
    message: Message
    at_once: bool = True


Taking = asyncio.Task[AcquiredLease | ReplayedTurn]


class LeaseReleaser:
    """Gives leases back whose callers have heard of a failure, or nothing: a retry then finds the thread as it was."""

    def __init__(self, messages: CosmosContainer) -> None:
        self._messages = messages
        self._running: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Wait for those that go on after their callers were stopped."""
        await asyncio.gather(*self._running)

    async def release(self, request: Request, taking: Taking) -> None:
        """Take a request's lease and its new message out again, if ``taking`` may have stored them.

        Never raises for the store; takes ``RELEASE_SECONDS`` at most, and goes on if the caller is cancelled.
        """
        task = asyncio.create_task(self._release(request, taking))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.shield(task)

    async def _release(self, request: Request, taking: Taking) -> None:
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                # Waited for even if it does not matter any more: a write that is on its way would come after ours.
                if await _may_be_taken(taking):
                    await self._give_back(request)
        except Exception:
            logger.warning("lease of turn %s not given back; it will expire", request.new.turn_id, exc_info=True)

    async def _give_back(self, request: Request) -> None:
        for operations in _release_batches(request):
            try:
                await self._messages.batch(request.thread_id, operations)
            except PreconditionFailed:
                continue
            logger.info("lease of turn %s given back, as it did not begin", request.new.turn_id)
            return


async def _may_be_taken(taking: Taking) -> bool:
    try:
        return isinstance(await taking, AcquiredLease)
    except StoreError:
        # What was asked may have happened.
        return True
    except ChatError:
        return False


def _release_batches(request: Request) -> list[list[Operation]]:
    """Return what gives the lease back, first for a new message, then for one that was there already."""
    free, turn_id = thread_changes(lease=None), request.new.turn_id
    new = patch(request.thread_id, free, condition(lease__turn_id=turn_id, lease__seq=None))
    if request.key_id is None:
        return [[new]]
    again = patch(request.thread_id, free, condition(lease__turn_id=turn_id))
    # As after an attempt whose process died: the next one finds its message by the key.
    return [[delete(request.key_id), new], [patch(request.key_id, changes(status="interrupted")), again]]
