"""How much an owner and a thread may hold, in whichever store."""

from __future__ import annotations

from dataclasses import dataclass

from errors import RateLimited, ThreadFull
from observability import metrics

# A thread goes by its owner's hand, or by the hourly sweep of those that are idle.
RETRY_AFTER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """``threads`` of an owner and ``messages`` of a thread; 0 is no limit.

    Creations at the same time may pass the first one together; an answer may pass the second one by itself.
    """

    threads: int = 0
    messages: int = 0

    def check_threads(self, count: int) -> None:
        """Check that an owner who has so many threads may have another.

        :raises RateLimited: if not.
        """
        if self.threads and count >= self.threads:
            metrics.limits_hit.add(1, {"chat.limit": "threads", "chat.limit.scope": "owner"})
            raise RateLimited("threads", retry_after=RETRY_AFTER_SECONDS)

    def check_messages(self, count: int) -> None:
        """Check that a thread that holds so many messages may take another.

        :raises ThreadFull: if not.
        """
        if self.messages and count >= self.messages:
            metrics.limits_hit.add(1, {"chat.limit": "messages_per_thread", "chat.limit.scope": "owner"})
            raise ThreadFull
