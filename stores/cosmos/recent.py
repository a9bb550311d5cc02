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
    """A thread's latest messages, the newest first, at most ``limit`` of them: those of the thread as it was at ``rev``.

    ``size`` is about how many bytes of memory they take.
    """

    owner_hash: str
    created_at: datetime
    rev: int
    last_seq: int
    limit: int
    read_at: float
    messages: tuple[Message, ...]
    size: int

    def is_before(self, thread: ThreadDocument) -> bool:
        """Whether the thread has seen only one write since, which may have changed all but its earlier messages."""
        return (self.owner_hash, self.created_at, self.rev) == (thread.owner_hash, thread.created_at, thread.rev - 1)


class RecentMessages:
    """Windows of the threads that were used last, of ``max_bytes`` in all; with 0 there are none."""

    def __init__(self, max_bytes: int, *, max_seconds: float = MAX_SECONDS, now: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._now = now
        self._windows: OrderedDict[str, Window] = OrderedDict()
        self._bytes = 0

    @property
    def is_on(self) -> bool:
        """Whether any are kept."""
        return self._max_bytes > 0

    def has(self, thread_id: str, limit: int) -> bool:
        """Whether :meth:`take` can be expected to return messages."""
        window = self._windows.get(thread_id)
        return window is not None and self._is_wide(window, limit)

    def take(self, thread: ThreadDocument, limit: int) -> list[Message] | None:
        """Return the latest messages of a thread whose lease has just been taken, if they are known for certain."""
        window = self.forget(thread.id)
        return self.adopt(thread, window, limit) if window else None

    def adopt(self, thread: ThreadDocument, window: Window, limit: int) -> list[Message] | None:
        """Keep a window, and return its messages, if it is for certain that of a thread whose lease has just been taken."""
        if not self._is_wide(window, limit) or not window.is_before(thread) or window.last_seq != thread.last_seq:
            return None
        self._put(thread.id, replace(window, rev=thread.rev))
        return list(window.messages[:limit])

    def keep(self, thread: ThreadDocument, messages: Sequence[Message], limit: int, *, read_after: bool) -> None:
        """Keep the latest messages of a thread whose lease has just been taken; ``read_after`` says that they were read then.

        Else those of somebody may have been erased in between.
        """
        if read_after or not any(AUTHOR_ID in message.metadata for message in messages):
            window = Window(
                thread.owner_hash,
                thread.created_at,
                thread.rev,
                thread.last_seq,
                limit,
                self._now(),
                tuple(messages),
                size_of(messages),
            )
            self._put(thread.id, window)

    def extend(self, thread: ThreadDocument, messages: Sequence[Message]) -> Window | None:
        """Add the messages, in order, that a turn's commit has stored, which has left the thread like this.

        Return the window that it has then, if it is known.
        """
        window = self.forget(thread.id)
        if window is None or not window.is_before(thread) or messages[0].seq != window.last_seq + 1:
            return None
        latest = (*reversed(messages), *window.messages)
        kept, dropped = latest[: window.limit], latest[window.limit :]
        size = window.size + size_of(messages) - size_of(dropped)
        window = replace(window, rev=thread.rev, last_seq=thread.last_seq, messages=kept, size=size)
        self._put(thread.id, window)
        return window

    def forget(self, thread_id: str) -> Window | None:
        """Drop a thread's window, and return it."""
        window = self._windows.pop(thread_id, None)
        if window:
            self._bytes -= window.size + MESSAGE_BYTES
        return window

    def _is_wide(self, window: Window, limit: int) -> bool:
        return window.limit >= limit and not self._is_old(window)

    def _is_old(self, window: Window) -> bool:
        return not self._now() - window.read_at < self._max_seconds

    def _put(self, thread_id: str, window: Window) -> None:
        if window.size + MESSAGE_BYTES > self._max_bytes:
            return
        # Another begin may have kept one while this one was reading.
        self.forget(thread_id)
        self._windows[thread_id] = window
        self._bytes += window.size + MESSAGE_BYTES
        # The first was used longest ago. What another instance has deleted does not stay because there is room for it.
        while self._windows and (self._bytes > self._max_bytes or self._is_old(next(iter(self._windows.values())))):
            self.forget(next(iter(self._windows)))


def size_of(messages: Sequence[Message]) -> int:
    """Return about how many bytes of memory messages take."""
    return sum(map(_size, messages))


def _size(message: Message) -> int:
    texts = sys.getsizeof(message.content) + sys.getsizeof(message.reasoning)
    json = (message.tool_calls, message.citations, message.metadata, message.problem)
    return texts + BYTES_PER_JSON_BYTE * len(to_json(json)) + MESSAGE_BYTES
