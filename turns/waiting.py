"""Messages that wait for their thread to be free: in the order of their arrival, and in nobody's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from turns.waiters import Waiters

MAX_WAIT_SECONDS = 60.0
# What a turn has to end once it was cancelled, in whichever process.
INTERRUPT_SECONDS = 15.0


async def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a message waits for its thread: at most :data:`MAX_WAIT_SECONDS`, and not once its caller ``has_left``.

    With ``interrupt`` it cancels the turn that runs and goes before all who wait.
    """

    seconds: float = 0
    interrupt: bool = False
    has_left: Callable[[], Awaitable[bool]] = _never

    @property
    def limit(self) -> float:
        """The seconds that it waits at most."""
        return max(min(self.seconds, MAX_WAIT_SECONDS), INTERRUPT_SECONDS if self.interrupt else 0)


class Place:
    """A place in the line of a thread."""

    def __init__(self, line: deque[Place], moved: Waiters) -> None:
        self._line = line
        self._moved = moved

    @property
    def is_first(self) -> bool:
        """Whether nobody is before it."""
        return self._line[0] is self

    async def until_moved(self, seconds: float) -> None:
        """Wait until the line has moved, or for so many seconds."""
        await self._moved.wait(seconds)


class WaitingLines:
    """The lines of this process, one for each thread that somebody waits for."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Place]] = {}
        self._moved = Waiters()

    def is_waited_for(self, thread_id: str) -> bool:
        """Tell whether somebody waits for a thread."""
        return thread_id in self._lines

    @asynccontextmanager
    async def place(self, thread_id: str, *, first: bool) -> AsyncIterator[Place]:
        """Take a place at the end of a thread's line, or at its front, for as long as the body runs."""
        line = self._lines.setdefault(thread_id, deque())
        place = Place(line, self._moved)
        (line.appendleft if first else line.append)(place)
        try:
            yield place
        finally:
            line.remove(place)
            if not line:
                del self._lines[thread_id]
            self._moved.notify()


class Deadline:
    """A moment on the event loop's clock."""

    def __init__(self, seconds: float) -> None:
        self._started = asyncio.get_running_loop().time()
        self._seconds = seconds

    @property
    def waited(self) -> float:
        """The seconds since it was set."""
        return asyncio.get_running_loop().time() - self._started

    @property
    def left(self) -> float:
        """The seconds until it, at least zero."""
        return max(0.0, self._seconds - self.waited)
