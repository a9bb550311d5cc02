"""When a request that a model's server has refused may be sent again."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A longer Retry-After is the caller's to wait: the turn holds the thread's lease meanwhile.
MAX_RETRY_AFTER_SECONDS = 5.0
# What a caller is told at most: a server that has no more for today may have some before.
MAX_TOLD_SECONDS = 3600.0
FIRST_BACKOFF_SECONDS = 0.5
RETRIED = frozenset({408, 409, 429})
Header = Callable[[str], str | None]


def wait_before_retry(status: int, header: Header, attempt: int) -> float | None:
    """Return after how many seconds a request that was refused may be repeated; ``None`` if it should not be."""
    said = header("x-should-retry")
    if said == "false" or (said != "true" and status not in RETRIED and status < 500):
        return None
    wait = retry_after(header)
    if wait is None:
        return backoff_seconds(attempt)
    return wait if wait <= MAX_RETRY_AFTER_SECONDS else None


def retry_after(header: Header) -> float | None:
    """Return how many seconds a server asks to wait, at most an hour, if it says so: as a number, or until when."""
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(header(name) or "") / divisor
        except ValueError:
            continue
        if seconds >= 0:
            return min(seconds, MAX_TOLD_SECONDS)
    try:
        until = parsedate_to_datetime(header("retry-after") or "")
    except ValueError:
        return None
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), MAX_TOLD_SECONDS)


def backoff_seconds(attempt: int) -> float:
    """Return how long to wait after an attempt that failed without such a word."""
    return float(FIRST_BACKOFF_SECONDS * 2**attempt * random.uniform(0.75, 1))  # noqa: S311 - no secret
