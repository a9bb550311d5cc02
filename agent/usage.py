"""What model calls have used: as the model tells, or as estimated where it was cut off before it did."""

from __future__ import annotations

from collections.abc import Callable

BYTES_PER_TOKEN = 4


class CallUsage:
    """The tokens of one model call. Until the model tells them, they are estimated at four bytes a token.

    ``sent`` is the size of the request in bytes.
    """

    def __init__(self, sent: int) -> None:
        self.input_tokens = _tokens(sent)
        self.output_tokens = 0
        self._received = 0
        self._is_told = False

    def receive(self, size: int) -> None:
        """Count ``size`` more bytes of the model's answer."""
        self._received += size
        if not self._is_told:
            self.output_tokens = _tokens(self._received)

    def tell(self, input_tokens: int, output_tokens: int) -> None:
        """Take the model's own count."""
        self._is_told = True
        self.input_tokens, self.output_tokens = input_tokens, output_tokens

    def refuse(self) -> None:
        """Count nothing: the model has not read what was sent."""
        self.tell(0, 0)


OnCall = Callable[[int], CallUsage]


def _tokens(size: int) -> int:
    return -(-size // BYTES_PER_TOKEN)
