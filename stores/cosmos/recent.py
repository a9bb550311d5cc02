"""The latest messages of threads that this process has answered in, so that a thread's next turn here need not read them.

They are never trusted by themselves: the answer to the write that takes the lease brings the thread's ``rev``, which grows with
every change of its messages but feedback, and is one more than it was here only if nothing has happened since.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic_core import to_json

from models import AUTHOR_ID, Message
from stores.cosmos.documents import ThreadDocument

# An instance of an older release may erase messages without telling it by the thread's `rev`.
MAX_SECONDS = 600.0
# What a message needs besides its texts, and the JSON of its calls as objects for each byte: measured, about.
MESSAGE_BYTES = 2048
BYTES_PER_JSON_BYTE = 4


@dataclass(frozen=True, slots=True)
class Window:
    """A thread's latest messages, the newest first, at most ``limit`` of them: those of the thread as it was at ``rev``."""

    owner_hash: str
    created_at: datetime
    rev: int
    last_seq: int
    limit: int
    read_at: float
    messages: tuple[Message, ...]

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return sum(map(_size, self.messages))

    def is_before(self, thread: ThreadDocument) -> bool:
        """Whether the thread has seen only one write since, which may have changed all but its earlier messages."""
        return (self.owner_hash, self.created_at, self.rev) == (thread.owner_hash, thread.created_at, thread.rev - 1)


class RecentMessages:
    """Windows of the threads that were used last, of ``max_bytes`` in all; with 0 there are none."""

    def __init__(self, max_bytes: int, *, max_seconds: float = MAX_SECONDS, now: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._now = now
        self._windows: OrderedDict[str, tuple[Window, int]] = OrderedDict()
        self._bytes = 0

    @property
    def is_on(self) -> bool:
        """Whether any are kept."""
        return self._max_bytes > 0

    def has(self, thread_id: str, limit: int) -> bool:
        """Whether :meth:`take` can be expected to return messages."""
        window, _ = self._windows.get(thread_id, (None, 0))
        return window is not None and window.limit >= limit and self._now() - window.read_at < self._max_seconds

    def take(self, thread: ThreadDocument, limit: int) -> list[Message] | None:
        """Return the latest messages of a thread whose lease has just been taken, if they are known for certain."""
        known = self.has(thread.id, limit)
        window = self.forget(thread.id)
        if not known or window is None or not window.is_before(thread) or window.last_seq != thread.last_seq:
            return None
        self._put(thread.id, replace(window, rev=thread.rev))
        return list(window.messages[:limit])

    def keep(self, thread: ThreadDocument, messages: Sequence[Message], limit: int, *, read_after: bool) -> None:
        """Keep the latest messages of a thread whose lease has just been taken; ``read_after`` says that they were read then.

        Else those of somebody may have been erased in between.
        """
        if read_after or not any(AUTHOR_ID in message.metadata for message in messages):
            window = Window(
                thread.owner_hash, thread.created_at, thread.rev, thread.last_seq, limit, self._now(), tuple(messages)
            )
            self._put(thread.id, window)

    def extend(self, thread: ThreadDocument, messages: Sequence[Message]) -> None:
        """Add the messages, in order, that a turn's commit has stored, which has left the thread like this."""
        window = self.forget(thread.id)
        if window and window.is_before(thread) and messages[0].seq == window.last_seq + 1:
            latest = (*reversed(messages), *window.messages)[: window.limit]
            self._put(thread.id, replace(window, rev=thread.rev, last_seq=thread.last_seq, messages=latest))

    def forget(self, thread_id: str) -> Window | None:
        """Drop a thread's window, and return it."""
        window, size = self._windows.pop(thread_id, (None, 0))
        self._bytes -= size
        return window

    def _put(self, thread_id: str, window: Window) -> None:
        size = window.size + MESSAGE_BYTES
        if size > self._max_bytes:
            return
        self._windows[thread_id] = window, size
        self._bytes += size
        while self._bytes > self._max_bytes:
            self.forget(next(iter(self._windows)))


def _size(message: Message) -> int:
    json = (message.tool_calls, message.citations, message.metadata, message.problem)
    return sys.getsizeof(message.content) + BYTES_PER_JSON_BYTE * len(to_json(json)) + MESSAGE_BYTES
