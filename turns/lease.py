"""Keeps a turn's lease while the turn runs, and stops the turn when it was lost or somebody wants it to stop."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Self

from errors import LeaseLost
from models import utcnow
from stores.contract import ThreadStore
from stores.types import StartedTurn
from turns.intervals import TurnIntervals

logger = logging.getLogger(__name__)


class TurnCancelled(Exception):
    """Somebody asked the turn to stop."""


class LeaseRenewer:
    """Renews a turn's lease while its body runs; cancels the body when the lease is lost or the turn is to stop.

    A timer and not a task: most turns have ended before the first poll is due.

    :raises LeaseLost: on leaving, if it was.
    :raises TurnCancelled: on leaving, if the turn was to stop.
    """

    def __init__(self, store: ThreadStore, started: StartedTurn, lease_seconds: float, intervals: TurnIntervals) -> None:
        self._store = store
        self._started = started
        self._lease_seconds = lease_seconds
        self._renewal_seconds = lease_seconds / intervals.renewals_per_lease
        self._poll_seconds = min(intervals.cancel_poll, self._renewal_seconds)
        self._reason: LeaseLost | TurnCancelled | None = None
        self._left = False
        self._body: asyncio.Task[Any]
        self._timer: asyncio.TimerHandle
        self._renew_at: float
        self._held_until: float
        self._poll: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        body = asyncio.current_task()
        if body is None:
            raise RuntimeError("not in a task")
        self._body = body
        now = asyncio.get_running_loop().time()
        self._renew_at = now + self._renewal_seconds
        self._held_until = now + self._lease_seconds - (utcnow() - self._started.started_at).total_seconds()
        self._schedule()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left = True
        self._timer.cancel()
        if self._poll and self._reason is None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)
        if self._reason and kind in (None, asyncio.CancelledError) and self._body.uncancel() == 0:
            if kind is None:
                await _swallow_cancellation()
            raise self._reason from error

    @property
    def is_held(self) -> bool:
        """Whether nobody else can have taken the thread over yet."""
        return asyncio.get_running_loop().time() < self._held_until

    def cancel(self) -> None:
        """Stop the body now, unless it has ended."""
        self._stop(TurnCancelled())

    def _stop(self, reason: LeaseLost | TurnCancelled) -> None:
        if not self._left and self._reason is None:
            self._reason = reason
            self._body.cancel()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._poll_seconds, self._start_poll)

    def _start_poll(self) -> None:
        self._poll = asyncio.create_task(self._poll_once())

    async def _poll_once(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            if (now := loop.time()) >= self._renew_at:
                await self._store.renew_lease(self._started, lease_seconds=self._lease_seconds)
                self._held_until = now + self._lease_seconds
                self._renew_at = loop.time() + self._renewal_seconds
            if await self._store.is_cancel_requested(self._started):
                self._stop(TurnCancelled())
                return
        except LeaseLost as lost:
            self._stop(lost)
            return
        except Exception:
            # Whatever it is: without renewals the turn would lose its thread, and its reply.
            logger.warning("lease renewal of turn %s failed, will retry", self._started.turn_id, exc_info=True)
        self._schedule()


async def _swallow_cancellation() -> None:
    """Take the cancellation that came too late for the body, and would otherwise hit what follows."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return
