"""The latest messages of a thread in which a turn begins: known here for certain, or read."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from models import Message, Owner
from stores.cosmos.container import CosmosContainer, gather_pair
from stores.cosmos.definitions import kind
from stores.cosmos.documents import ThreadDocument
from stores.cosmos.reading import as_record
from stores.cosmos.recent import RecentMessages

T = TypeVar("T")
HISTORY = f"SELECT TOP @limit * FROM c WHERE {kind('msg')} ORDER BY c.seq DESC"  # noqa: S608 - our own text


class CosmosHistory:
    """Reads histories, and remembers them if the process may."""

    def __init__(self, messages: CosmosContainer, recent: RecentMessages) -> None:
        self._messages = messages
        self._recent = recent

    async def beside(self, taking: Awaitable[T], owner: Owner, thread_id: str, limit: int) -> tuple[T, list[Message] | None]:
        """Wait for the lease, and read the latest messages at the same time where that makes sense: see :meth:`latest`.

        It makes none if they may be known here, or if somebody's may be erased in between.
        """
        if not limit or (self._recent.is_on and (owner.is_conversation or self._recent.has(thread_id, limit))):
            return await taking, None
        return await gather_pair(taking, self._read(thread_id, limit))

    async def latest(self, thread: ThreadDocument, limit: int, beside: list[Message] | None) -> list[Message]:
        """Return the latest messages, the newest first, of a thread whose lease was taken.

        ``beside`` are those that were read at the same time, and may be late.
        """
        if not limit:
            return []
        known = self._recent.take(thread, limit)
        if known is not None:
            return known
        # What was read before somebody else's commit, or from a lagging replica, is not the latest; the lease's answer has
        # brought the newer session.
        read_after = beside is None or (beside[0].seq if beside else 0) != thread.last_seq
        messages = await self._read(thread.id, limit) if beside is None or read_after else beside
        self._recent.keep(thread, messages, limit, read_after=read_after)
        return messages

    def extend(self, thread: ThreadDocument, messages: Sequence[Message]) -> None:
        """Remember the messages, in order, that a turn's commit has stored, which has left the thread like this."""
        self._recent.extend(thread, messages)

    async def _read(self, thread_id: str, limit: int) -> list[Message]:
        return [as_record(Message, row) for row in await self._messages.query(thread_id, HISTORY, limit=limit)]
