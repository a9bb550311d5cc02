"""What model calls have used: as the model tells, or as estimated where it was cut off before it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

BYTES_PER_TOKEN = 4
# No call has more; what a server tells beyond is no count.
MAX_TOKENS = 10**9


class CallUsage:
    """The tokens of one model call. Until the model tells them, they are estimated at four bytes a token.

    ``sent`` is the size of the request in bytes. ``details`` are parts of these tokens that have a price or a meaning of their
    own, by their names in a message's metadata, as far as the model tells them.
    """

    def __init__(self, sent: int) -> None:
        self._sent = sent
        self.input_tokens = _tokens(sent)
        self.output_tokens = 0
        self.details: dict[str, int] = {}
        self._received = 0
        self._is_told = False

    def receive(self, size: int) -> None:
        """Count ``size`` more bytes of the model's answer."""
        self._received += size
        if not self._is_told:
            self.output_tokens = _tokens(self._received)

    def tell(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        cached_input_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> None:
        """Take the model's own count."""
        self._is_told = True
        self.input_tokens, self.output_tokens = input_tokens, output_tokens
        details = {"cached_input_tokens": cached_input_tokens, "reasoning_tokens": reasoning_tokens}
        self.details = {name: count for name, count in details.items() if count is not None}

    def send(self) -> None:
        """Count what is sent, also where an attempt before was refused."""
        self.input_tokens, self.output_tokens, self._is_told = _tokens(self._sent), 0, False

    def refuse(self) -> None:
        """Count nothing: the model has not read what was sent."""
        self.tell(0, 0)


OnCall = Callable[[int], CallUsage]


def sum_details(calls: Iterable[CallUsage]) -> dict[str, int]:
    """Return the details of several calls; one that none of them tells is left out."""
    sums: dict[str, int] = {}
    for call in calls:
        for name, count in call.details.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def detail_in(details: Any, name: str) -> int | None:
    """Return a count of what a server has told in detail, if it is a sound one."""
    count = details.get(name) if isinstance(details, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MAX_TOKENS else None


def _tokens(size: int) -> int:
    return -(-size // BYTES_PER_TOKEN)
