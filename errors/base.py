"""What every error that a caller meets has."""

from __future__ import annotations

from typing import ClassVar


class ChatError(Exception):
    """Base of the errors that become a problem response (RFC 9457).

    ``type`` is the stable slug that clients match on; ``retry_after`` is in seconds, ``None`` where waiting does not help.
    """

    type: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
