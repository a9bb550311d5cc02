"""The short form of the tests leaves positions out, but never the first and the last, and ``--long`` none."""

from __future__ import annotations

import pytest

from tests.fakes.cosmos import Fault
from tests.support.positions import SHORT_STEP, Positions, every_position


def tried(requests: int, step: int) -> list[int]:
    """Return the positions that are tried in a test of so many requests."""
    positions, seen = Positions(step), []
    for position in positions:
        fault = Fault(None, None, skip=max(position - requests, 0))
        if position < requests:
            fault.reached.set()
        seen.append(position)
        positions.tried(fault)
    assert positions.count == requests
    return seen


@pytest.mark.parametrize("requests", range(10))
def test_the_first_and_the_last_request_are_always_tried(requests: int) -> None:
    assert tried(requests, 1) == list(range(requests + 1))
    short = tried(requests, SHORT_STEP)
    assert {*short[:1], *range(0, requests, SHORT_STEP)} <= {*short}
    assert requests - 1 in short or not requests
    assert len(short) == len({*short}) <= requests // SHORT_STEP + 3


def test_parameters_keep_the_first_and_the_last() -> None:
    kept = [parameters.values for parameters in every_position([("a", n) for n in range(5)]) if not parameters.marks]
    assert kept == [("a", 0), ("a", 3), ("a", 4)]
