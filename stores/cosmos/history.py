"""The latest messages of a thread in which a turn begins: known for certain, by this process or on Redis, or read."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from models import Message, Owner
from stores.cosmos.container import CosmosContainer, gather_pair
from stores.cosmos.definitions import kind
from stores.cosmos.documents import ThreadDocument
from stores.cosmos.reading import as_record
from stores.cosmos.recent import RecentMessages, Window
from stores.cosmos.shared_recent import SharedRecent

T = TypeVar("T")
HISTORY = f"SELECT TOP @limit * FROM c WHERE {kind('msg')} ORDER BY c.seq DESC"  # noqa: S608 - our own text

# What was found while the lease was being taken.
Beside = list[Message] | Window | None


class CosmosHistory:
    """Reads histories, and remembers and shares them if the process may: what is not remembered is not shared either."""

    def __init__(self, messages: CosmosContainer, recent: RecentMessages, shared: SharedRecent) -> None:
        self._messages = messages
        self._recent = recent
        self._shared = shared if recent.is_on else SharedRecent()

    async def beside(self, taking: Awaitable[T], owner: Owner, thread_id: str, limit: int) -> tuple[T, Beside]:
        """Wait for the lease, and look for the latest messages at the same time where that makes sense: see :meth:`latest`.

        It makes none if they may be known here.
        """
        if not limit or self._recent.has(thread_id, limit):
            return await taking, None
        return await gather_pair(taking, self._shared_or_read(owner, thread_id, limit))

    async def _shared_or_read(self, owner: Owner, thread_id: str, limit: int) -> Beside:
        if window := await self._shared.get(thread_id):
            return window
        if self._recent.is_on and owner.is_conversation:
            # Somebody's messages may be erased before the lease is taken: they are read after that.
            return None
        return await self.read(thread_id, limit)

    async def latest(self, thread: ThreadDocument, limit: int, beside: Beside) -> list[Message]:
        """Return the latest messages, the newest first, of a thread whose lease was taken.

        ``beside`` are those that were found at the same time, and may be late.
        """
        if not limit:
            return []
        known = await self._known(thread, limit, beside if isinstance(beside, Window) else None)
        if known is not None:
            return known
        # What was read before somebody else's commit or the end of a pause, or from a lagging replica, is not the latest; the
        # lease's answer has brought the newer session.
        is_late = not isinstance(beside, list) or (beside[0].seq if beside else 0) != thread.last_seq or _may_change(beside)
        messages = beside if isinstance(beside, list) and not is_late else await self.read(thread.id, limit)
        self._recent.keep(thread, messages, limit, read_after=is_late)
        return messages

    async def _known(self, thread: ThreadDocument, limit: int, shared: Window | None) -> list[Message] | None:
        was_expected = self._recent.has(thread.id, limit)
        messages = self._recent.take(thread, limit)
        if messages is None and was_expected:
            # Another instance has answered meanwhile.
            shared = await self._shared.get(thread.id)
        return self._recent.adopt(thread, shared, limit) if messages is None and shared else messages

    def extend(self, thread: ThreadDocument, messages: Sequence[Message]) -> None:
        """Remember the messages, in order, that a turn's commit has stored, which has left the thread like this."""
        if window := self._recent.extend(thread, messages):
            self._shared.put_later(thread.id, window)

    async def forget(self, thread_id: str) -> None:
        """Remember nothing of a thread any more, whose messages have changed or gone."""
        self._recent.forget(thread_id)
        await self._shared.forget(thread_id)

    async def read(self, thread_id: str, limit: int) -> list[Message]:
        """Read the latest messages, the newest first."""
        return [as_record(Message, row) for row in await self._messages.query(thread_id, HISTORY, limit=limit)]


def _may_change(latest: list[Message]) -> bool:
    """Whether the latest message is a paused answer: its calls change in their place, and nothing need come behind it."""
    return bool(latest) and latest[0].status == "paused"
