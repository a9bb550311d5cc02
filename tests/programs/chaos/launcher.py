"""A server of a chaos run: the real program, with a tool that misbehaves and, if asked, a clock that is wrong.

``python -m tests.programs.chaos.launcher SECONDS`` runs ``local.py`` as if its clock were that much ahead.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import models
from tests.programs.chaos.till import tools

BIG_BYTES = 1024 * 1024


async def misbehave(how: Literal["raise", "hang", "big", "well"]) -> Any:
    """Do what is asked, or rather not."""
    if how == "raise":
        raise RuntimeError("a tool of the chaos run has failed")
    if how == "hang":
        await asyncio.sleep(3600)
    return "x" * BIG_BYTES if how == "big" else {"well": True}


def shift_clock(seconds: float) -> None:
    """Set the clock that leases, messages and turns are timed by; before any module has taken it by its name."""
    shift = timedelta(seconds=seconds)
    models.utcnow = lambda: datetime.now(UTC) + shift


def add_misbehaving_tool() -> None:
    from tools import registry

    open_real = registry.open_tools

    @asynccontextmanager
    async def open_tools(environment: Any) -> AsyncIterator[list[Any]]:
        async with open_real(environment) as real:
            yield [*real, misbehave, *tools()]

    registry.open_tools = open_tools


def main() -> int:
    shift_clock(float(sys.argv[1]))
    add_misbehaving_tool()
    import local

    return local.serve()


if __name__ == "__main__":
    sys.exit(main())
