"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """All of it, or a share: with a small one the figures say little, but every part has run."""

    share: float = 1.0

    def of(self, count: int, least: int = 1) -> int:
        """Return how many of ``count`` repetitions there are."""
        return max(least, round(count * self.share))


FULL, SHORT = Extent(), Extent(0.02)
