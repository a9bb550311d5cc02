"""The life of one turn: begin, run the agent, emit events, commit or fail. Knows no HTTP, no Azure and no Teams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from errors import (
    ChatError,
    ContextOverflow,
    InternalError,
    LeaseLost,
    RateLimited,
    StoreUnavailable,
    ThreadNotFound,
    TurnInterrupted,
    TurnTimeout,
)
from events import TurnFailed, TurnStarted
from models import Message, Metadata, Owner, Problem, TurnStatus
from observability import metrics
from stores.contract import ThreadStore
from stores.types import NewMessage, ReplayedTurn, StartedTurn
from turns.event_log import EventLog, replay
from turns.event_writer import EventWriter
from turns.history import estimate_tokens, fit_history
from turns.intervals import TurnIntervals
from turns.lease import LeaseRenewer, TurnCancelled
from turns.reply import ReplyBuilder
from turns.telemetry import ObservedTurn, observed_turn
from turns.thread_reference import ThreadReference, resolve_thread

if TYPE_CHECKING:
    from agent.agent import ChatAgent, RunResult
    from quotas.quotas import Quotas
    from settings import Settings

# How much less of the history is tried each time that the model cannot read it.
OVERFLOW_DIVISOR = 4
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TurnContext:
    """What all turns of a process share."""

    store: ThreadStore
    agent: Callable[[], Awaitable[ChatAgent]]
    quotas: Quotas
    settings: Settings
    event_writer: EventWriter
    intervals: TurnIntervals


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A message that asks for a turn, in a thread by its id or by what else its caller names it.

    With ``stream`` the model is asked to stream, for a reader who wants the text as it comes, and the turn's events are stored
    for whoever follows it later or elsewhere. ``request_id`` goes into the problem of a turn that fails.
    """

    owner: Owner
    thread: str | ThreadReference
    new: NewMessage
    stream: bool
    request_id: str | None


class TurnRunner:
    """Runs one turn. ``begun`` has its log as soon as the message is stored, or the exception that refused it."""

    def __init__(self, context: TurnContext, request: TurnRequest) -> None:
        self.begun: asyncio.Future[EventLog] = asyncio.get_running_loop().create_future()
        self._context = context
        self._request = request
        self._started: StartedTurn
        self._log: EventLog
        self._reply: ReplyBuilder
        self._tokens = 0
        self._lease: LeaseRenewer | None = None

    def cancel(self) -> None:
        """Stop the turn now, unless it has ended; its partial reply is kept."""
        if self._lease:
            self._lease.cancel()

    async def run(self) -> None:
        """Begin the turn and run it to its end, whatever that is."""
        owner, new, quotas = self._request.owner, self._request.new, self._context.quotas
        try:
            with observed_turn(owner, new.turn_id, stream=self._request.stream) as observed:
                if isinstance(self._request.thread, str):
                    # Known before the turn may begin: one that is refused tells its thread, too.
                    observed.find_thread(self._request.thread)
                if replayed := await self._take_place():
                    self._tell_begun(observed, replay(replayed))
                    return
                try:
                    thread_id, begun = await self._begin(observed)
                    log = EventLog(thread_id, new.turn_id) if isinstance(begun, StartedTurn) else replay(begun)
                    self._tell_begun(observed, log)
                    if isinstance(begun, StartedTurn):
                        await self._run(begun, log)
                finally:
                    await quotas.end_turn(owner, new.turn_id, tokens=self._tokens)
        except BaseException as error:
            if not self.begun.done():
                is_stopping = isinstance(error, asyncio.CancelledError)
                self.begun.set_exception(TurnInterrupted("The service is stopping.") if is_stopping else error)
            if not isinstance(error, Exception):
                raise

    def _tell_begun(self, observed: ObservedTurn, log: EventLog) -> None:
        observed.log = log
        if not self.begun.done():
            self.begun.set_result(log)

    async def _take_place(self) -> ReplayedTurn | None:
        """Take a place among the turns; where there is none, return the answer that the message has already, if it has one."""
        thread, new = self._request.thread, self._request.new
        try:
            await self._context.quotas.begin_turn(self._request.owner, new.turn_id)
        except RateLimited:
            # Which may be what has used the limit up, and costs nothing more.
            if new.idempotency_key is not None and isinstance(thread, str):
                replayed = await self._context.store.find_replay(self._request.owner, thread, new)
                if replayed:
                    return replayed
            raise
        return None

    async def _thread_id(self, observed: ObservedTurn) -> str:
        """Return the thread's id. One that is new is made only now: a turn that may not begin leaves none behind."""
        thread = self._request.thread
        if isinstance(thread, str):
            return thread
        thread_id = await resolve_thread(self._context.store, self._request.owner, thread)
        observed.find_thread(thread_id)
        return thread_id

    async def _begin(self, observed: ObservedTurn) -> tuple[str, StartedTurn | ReplayedTurn]:
        thread = self._request.thread
        try:
            return await self._try_to_begin(observed)
        except ThreadNotFound:
            if isinstance(thread, str) or not thread.is_session_id:
                raise
            # A session id always names a thread: this one was deleted after it was looked up.
            return await self._try_to_begin(observed)

    async def _try_to_begin(self, observed: ObservedTurn) -> tuple[str, StartedTurn | ReplayedTurn]:
        settings, thread_id = self._context.settings, await self._thread_id(observed)
        begun = await self._context.store.begin_turn(
            self._request.owner,
            thread_id,
            self._request.new,
            lease_seconds=settings.turn_lease_seconds,
            history_limit=settings.history_max_messages,
        )
        return thread_id, begun

    async def _run(self, started: StartedTurn, log: EventLog) -> None:
        """Run a turn that has begun to its end."""
        started = replace(started, events_kept=self._request.stream)
        self._started, self._log, self._reply = started, log, ReplyBuilder(started, log)
        self._context.event_writer.track(log, started.thread.created_at, kept=started.events_kept)
        log.emit(TurnStarted(id=log.next_id, turn_id=log.id))
        try:
            await self._answer()
        except asyncio.CancelledError:
            await self._fail(TurnInterrupted(), retry_timeout=0)
            raise
        except Exception as error:  # noqa: BLE001 - whatever happens, the turn must end and say so
            await self._fail(error, retry_timeout=self._context.settings.turn_lease_seconds)
        finally:
            self._tokens = self._reply.tokens

    async def _answer(self) -> None:
        settings = self._context.settings
        self._lease = LeaseRenewer(self._context.store, self._started, settings.turn_lease_seconds, self._context.intervals)
        try:
            async with self._lease:
                result = await self._run_agent()
        except TurnCancelled:
            await self._complete("cancelled", {"model": settings.model_name})
            return
        finally:
            self._lease = None
        await self._complete("completed", {"model": result.model, "usage": result.usage})

    async def _run_agent(self) -> RunResult:
        settings = self._context.settings
        try:
            async with asyncio.timeout(settings.turn_timeout_seconds):
                return await self._ask(await self._context.agent())
        except TimeoutError as error:
            raise TurnTimeout(settings.turn_timeout_seconds) from error

    async def _ask(self, agent: ChatAgent) -> RunResult:
        """Run the agent; where the model cannot read that much, once more with less of the history."""
        started, max_tokens = self._started, self._context.settings.history_max_tokens
        while True:
            history = fit_history(started.history, max_tokens)
            try:
                return await agent.run(history, started.message, observer=self._reply, stream=self._request.stream)
            except ContextOverflow:
                if not history or self._reply.has_begun:
                    raise
                tokens = sum(map(estimate_tokens, history))
                logger.warning("history of about %d tokens is too long for the model: check HISTORY_MAX_TOKENS", tokens)
                max_tokens = tokens // OVERFLOW_DIVISOR

    async def _complete(self, status: TurnStatus, metadata: Metadata) -> Message:
        """Store the reply, whole or partial, and end the log with it."""
        reply = self._reply.build(status, metadata)
        await self._commit(status, reply=reply)
        self._log.end(reply)
        return reply

    async def _commit(self, status: TurnStatus, *, reply: Message | None = None, problem: Problem | None = None) -> None:
        message = self._started.message.model_copy(update={"status": status, "problem": problem})
        await self._context.store.commit_turn(self._started, message=message, reply=reply, final_event_id=self._log.next_id)

    async def _fail(self, error: Exception, *, retry_timeout: float) -> None:
        """Store how the turn has failed, trying for ``retry_timeout`` seconds, and end the log, or abandon it if that fails.

        A process that is stopping has no time to wait for the store.
        """
        log = self._log
        shown = error if isinstance(error, ChatError) else InternalError()
        level = logging.WARNING if isinstance(error, ChatError) else logging.ERROR
        logger.log(level, "turn %s of %s failed: %s", log.id, self._started.thread.id, shown.type, exc_info=error)
        cause = error if self._context.settings.dev_mode else None
        problem = Problem.of(shown, self._request.request_id, cause=cause)
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
