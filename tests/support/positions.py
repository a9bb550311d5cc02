"""Where a test puts its fault: at each position with ``--long``, else at every third one, with the first and the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.fakes.cosmos import Fault

SHORT_STEP = 3


class Positions:
    """The requests of a test, counted from 0; the test calls :meth:`tried` in every round.

    It ends with a round whose fault came too late for every request: in that one nothing goes wrong.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._position = 0
        self._ended = False
        self.count = 0
        """How many requests there are, once a fault came too late."""

    def __iter__(self) -> Iterator[int]:
        while not self._ended:
            yield self._position
            self._position += self._step
        if self.count and (self.count - 1) % self._step:
            yield self.count - 1

    def tried(self, fault: Fault) -> None:
        """Note whether a request was reached by the fault that skipped as many as the round said."""
        if not self._ended and not fault.reached.is_set():
            self._ended = True
            self.count = self._position - fault.skip


def every_position(positions: Sequence[Any]) -> list[Any]:
    """Return parameters of a test, of which those that only ``--long`` runs are marked."""
    kept = {*range(0, len(positions), SHORT_STEP), len(positions) - 1}
    marks = [() if index in kept else (pytest.mark.long,) for index in range(len(positions))]
    return [
        pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=marked)
        for each, marked in zip(positions, marks, strict=True)
    ]
