"""What the doctor says about one thing, and how a check is kept from failing or hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the doctor waits, in seconds: for a whole ``check``, and for one service to tell the time (``clock``)."""

    check: float = 30.0
    clock: float = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A thing as it is; or, with ``fix``, what is wrong with it and the command that fixes it."""

    subject: str
    text: str
    fix: str | None = None

    def __str__(self) -> str:
        if self.fix is None:
            return f"ok       {self.subject}: {self.text}"
        return f"PROBLEM  {self.subject}: {self.text}\n         fix: {self.fix}"


async def run_check(subject: str, check: Callable[[], Awaitable[list[Finding]]], *, fix: str, seconds: float) -> list[Finding]:
    """Return what a check finds; one that raises or takes too long is a problem, of which only the exception's type is told."""
    try:
        async with asyncio.timeout(seconds):
            return await check()
    except TimeoutError:
        return [Finding(subject, f"no answer within {seconds:g} seconds", fix)]
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what the doctor is here to tell
        return [Finding(subject, f"failed with {type(error).__name__}", fix)]
