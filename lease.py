"""Keeps a turn's lease alive while the turn runs."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Any, Self

from errors import ChatError, LeaseLost
from records import StartedTurn
from store import ThreadStore

RENEWALS_PER_LEASE = 3
logger = logging.getLogger(__name__)


class KeptLease:
    """Renews a turn's lease again and again while its body runs; cancels the body when the lease is lost.

    A timer and not a task: most turns have ended before the first renewal is due.

    :raises LeaseLost: on leaving, if it was.
    """

    def __init__(self, store: ThreadStore, started: StartedTurn, lease_seconds: float) -> None:
        self._store = store
        self._started = started
        self._lease_seconds = lease_seconds
        self._lost = False
        self._body: asyncio.Task[Any]
        self._timer: asyncio.TimerHandle
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        body = asyncio.current_task()
        if body is None:
            raise RuntimeError("not in a task")
        self._body = body
        self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._renewal and not self._lost:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        if self._lost and kind is asyncio.CancelledError and self._body.uncancel() == 0:
            raise LeaseLost from error

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._lease_seconds / RENEWALS_PER_LEASE, self._renew)

    def _renew(self) -> None:
        self._renewal = asyncio.create_task(self._renew_once())

    async def _renew_once(self) -> None:
        try:
            await self._store.renew_lease(self._started, lease_seconds=self._lease_seconds)
        except LeaseLost:
            self._lost = True
            self._body.cancel()
            return
        except ChatError:
            logger.warning("lease of turn %s not renewed, will try again", self._started.turn_id, exc_info=True)
        self._wait()
