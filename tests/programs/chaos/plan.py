"""What a run is: its seed, its length, its store, and the times that everything in it goes by."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

StoreKind = Literal["sqlite", "cosmos"]

LEASE_SECONDS = 2.0
TURN_TIMEOUT_SECONDS = 8.0
MODEL_TIMEOUT_SECONDS = 2.5
TOOL_TIMEOUT_SECONDS = 1.0
EVENT_TTL_SECONDS = 120
APPROVAL_SECONDS = 8
# How wrong the clocks of the servers are: the middle one sees others' leases end early, the last one lets its own end early.
CLOCK_SHIFTS = (0.0, 3.0, -3.0)
# A thread must take a message again within this, once nothing goes wrong any more: a lease, and the wrongest clocks.
FREE_SECONDS = LEASE_SECONDS + max(CLOCK_SHIFTS) - min(CLOCK_SHIFTS) + 2


@dataclass
class Plan:
    """A run; ``injected`` counts its faults by kind, ``calm`` ends them."""

    seed: int
    seconds: float
    store: StoreKind
    clients: int = 12
    calm: bool = False
    injected: Counter[str] = field(default_factory=Counter)

    def random(self, *names: object) -> random.Random:
        """Return a source of chance of its own for a part of the run: the same for the same seed and names."""
        digest = hashlib.sha256(":".join(map(str, (self.seed, *names))).encode()).digest()
        return random.Random(digest)

    def inject(self, kind: str) -> None:
        """Count a fault."""
        self.injected[kind] += 1
