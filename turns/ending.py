"""How a turn ends: its commit, whole, paused or failed, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from errors import ChatError, InternalError, LeaseLost, StoreUnavailable, TurnInterrupted
from events import TurnFailed
from models import Message, Metadata, Problem, TurnStatus
from observability import metrics
from stores.types import Pause, StartedTurn, TurnEnd
from turns.context import TurnContext
from turns.event_log import EventLog
from turns.reply import ReplyBuilder

logger = logging.getLogger(__name__)


class TurnEnding:
    """Ends one turn that has begun. ``request_id`` goes into the problem of one that fails."""

    def __init__(
        self, context: TurnContext, started: StartedTurn, log: EventLog, reply: ReplyBuilder, request_id: str | None
    ) -> None:
        self._context = context
        self._started = started
        self._log = log
        self._reply = reply
        self._request_id = request_id

    async def complete(self, status: TurnStatus, metadata: Metadata, pause: Pause | None = None) -> None:
        """Store the reply, whole, partial or paused, and end the log with it."""
        reply = self._reply.build(status, metadata)
        await self._commit(status, reply=reply, pause=pause)
        self._log.end(reply)

    async def _commit(
        self, status: TurnStatus, *, reply: Message | None = None, problem: Problem | None = None, pause: Pause | None = None
    ) -> None:
        changes: dict[str, Any] = {"status": status, "problem": problem}
        if reply is None:
            # The next attempt must not make them again.
            changes["tool_calls"] = self._reply.acted
        end = TurnEnd(
            message=self._started.message.model_copy(update=changes),
            reply=reply,
            final_event_id=self._log.next_id,
            settled=self._reply.settled(),
            pause=pause,
        )
        await self._context.store.commit_turn(self._started, end)

    async def fail(self, error: Exception, *, retry_timeout: float) -> None:
        """Store how the turn has failed, trying for ``retry_timeout`` seconds, and end the log, or abandon it if that fails.

        A process that is stopping has no time to wait for the store.
        """
        log = self._log
        shown = error if isinstance(error, ChatError) else InternalError()
        level = logging.WARNING if isinstance(error, ChatError) else logging.ERROR
        logger.log(level, "turn %s of %s failed: %s", log.id, self._started.thread.id, shown.type, exc_info=error)
        cause = error if self._context.settings.dev_mode else None
        problem = Problem.of(shown, self._request_id, cause=cause)
        is_known = False
        try:
            if isinstance(error, LeaseLost):
                metrics.leases_lost.add(1)
            elif reply := await self._end_without_reply(
                "interrupted" if isinstance(error, TurnInterrupted) else "failed", problem, retry_timeout=retry_timeout
            ):
                log.end(reply)
            is_known = True
        except Exception:
            logger.warning("end of turn %s not stored; its lease will expire", log.id, exc_info=True)
        finally:
            if not is_known:
                # It may be stored all the same, or be ended by somebody else: what is told here might not be true.
                log.abandon(problem)
            elif not log.ended:
                log.emit(TurnFailed(id=log.next_id, turn_id=log.id, problem=problem))

    async def _end_without_reply(self, status: TurnStatus, problem: Problem, *, retry_timeout: float) -> Message | None:
        """Store that a turn has failed; return its reply if that turns out to be stored.

        The commit of the reply may have succeeded although it was cut off, or no answer of the store came back. Until that is
        known nobody is told how the turn has ended, for as long as the lease keeps others from ending it.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + retry_timeout
        while True:
            try:
                await self._commit(status, problem=problem)
            except LeaseLost:
                return await self._stored_reply(deadline)
            except StoreUnavailable as error:
                await self._wait_for_store(deadline, error)
            else:
                return None

    async def _stored_reply(self, deadline: float) -> Message | None:
        """Return the reply that is stored, if there is one: somebody else has ended the turn, or our own commit has."""
        started = self._started
        while True:
            try:
                progress = await self._context.store.get_progress(started.owner, started.thread.id, started.turn_id, after=None)
            except StoreUnavailable as error:
                await self._wait_for_store(deadline, error)
            else:
                if progress.turn.message is None:
                    metrics.leases_lost.add(1)
                return progress.turn.message

    async def _wait_for_store(self, deadline: float, error: StoreUnavailable) -> None:
        """Wait before the next attempt; raises ``error`` when time is up."""
        retry = self._context.intervals.retry
        if asyncio.get_running_loop().time() + retry > deadline:
            raise error
        await asyncio.sleep(retry)
