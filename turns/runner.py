"""The life of one turn: begin, run the agent, emit events, commit or fail. Knows no HTTP, no Azure and no Teams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from agent.request import RunRequest
from calls import ToolCall
from errors import ContextOverflow, InternalError, RateLimited, ThreadNotFound, TurnInterrupted, TurnTimeout
from events import TurnStarted
from models import Message, Metadata, Problem
from stores.types import CancelRequested, NewContinuation, NewMessage, Pause, ReplayedTurn, StartedTurn
from turns.context import TurnContext, TurnRequest
from turns.ending import TurnEnding
from turns.event_log import EventLog, replay
from turns.history import estimate_tokens, fit_history
from turns.lease import LeaseRenewer, TurnCancelled
from turns.reply import ReplyBuilder
from turns.telemetry import ObservedTurn, observed_turn
from turns.thread_reference import resolve_thread

if TYPE_CHECKING:
    from agent.agent import ChatAgent, RunResult

# Of the 2 MB that a commit may have, beside a reply and its message.
MAX_CARRIED_BYTES = 200_000
# How much less of the history is tried each time that the model cannot read it.
OVERFLOW_DIVISOR = 4
logger = logging.getLogger(__name__)


class TurnRunner:
    """Runs one turn. ``begun`` has its log as soon as the message is stored, or the exception that refused it."""

    def __init__(self, context: TurnContext, request: TurnRequest) -> None:
        self.begun: asyncio.Future[EventLog] = asyncio.get_running_loop().create_future()
        self._context = context
        self._request = request
        self._started: StartedTurn
        self._ending: TurnEnding
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
        owner, new, store = self._request.owner, self._request.new, self._context.store
        limits: Any = {"lease_seconds": settings.turn_lease_seconds, "history_limit": settings.history_max_messages}
        if isinstance(new, NewContinuation):
            observed.continues(new.paused_turn_id)
            return thread_id, await store.begin_continuation(owner, thread_id, new, **limits)
        return thread_id, await store.begin_turn(owner, thread_id, new, **limits)

    async def _run(self, started: StartedTurn, log: EventLog) -> None:
        """Run a turn that has begun to its end."""
        started = replace(started, events_kept=self._request.stream)
        self._started, self._reply = started, ReplyBuilder(started, log)
        self._ending = TurnEnding(self._context, started, log, self._reply, self._request.request_id)
        self._context.event_writer.track(log, started.thread.created_at, kept=started.events_kept)
        new = self._request.new
        cancelled = new.cancelled_turn_id if isinstance(new, NewMessage) else None
        log.emit(TurnStarted(id=log.next_id, turn_id=log.id, cancelled_turn_id=cancelled))
        try:
            await self._answer()
        except asyncio.CancelledError:
            await self._ending.fail(TurnInterrupted(), retry_timeout=0)
            raise
        except Exception as error:  # noqa: BLE001 - whatever happens, the turn must end and say so
            await self._ending.fail(error, retry_timeout=self._context.settings.turn_lease_seconds)
        except BaseException:
            # No failure that can be stored; but nobody must wait for ever.
            log.abandon(Problem.of(InternalError(), self._request.request_id))
            raise
        finally:
            self._tokens = self._reply.tokens

    async def _answer(self) -> None:
        settings = self._context.settings
        self._lease = LeaseRenewer(self._context.store, self._started, settings.turn_lease_seconds, self._context.intervals)
        try:
            async with self._lease:
                result = await self._run_agent()
        except TurnCancelled:
            await self._ending.complete("cancelled", {"model": settings.model_name})
            return
        finally:
            self._lease = None
        metadata: Metadata = {"model": result.model, "usage": result.usage}
        if self._reply.is_open:
            pause = Pause(tools=list(self._client_tools), carried=_kept(result.carried))
            try:
                await self._ending.complete("paused", metadata, pause)
            except CancelRequested:
                await self._ending.complete("cancelled", metadata)
        else:
            await self._ending.complete("completed", metadata)

    async def _run_agent(self) -> RunResult:
        settings = self._context.settings
        try:
            async with asyncio.timeout(settings.turn_timeout_seconds - self._request.waited):
                return await self._ask(await self._context.agent())
        except TimeoutError as error:
            raise TurnTimeout(settings.turn_timeout_seconds) from error

    async def _ask(self, agent: ChatAgent) -> RunResult:
        """Run the agent; where the model cannot read that much, once more with less of the history."""
        max_tokens = self._context.settings.history_max_tokens
        while True:
            history = fit_history(self._started.history, max_tokens)
            try:
                return await agent.run(self._run_request(history), observer=self._reply, stream=self._request.stream)
            except ContextOverflow:
                if not history or self._reply.has_begun:
                    raise
                tokens = sum(map(estimate_tokens, history))
                logger.warning("history of about %d tokens is too long for the model: check HISTORY_MAX_TOKENS", tokens)
                max_tokens = tokens // OVERFLOW_DIVISOR

    def _run_request(self, history: Sequence[Message]) -> RunRequest:
        started, store, paused = self._started, self._context.store, self._reply.paused

        async def record_calls(calls: Sequence[ToolCall]) -> None:
            await store.record_calls(started, calls)

        return RunRequest(
            owner=started.owner,
            message=started.message,
            record_calls=record_calls,
            holds_lease=lambda: self._lease is not None and self._lease.is_held,
            history=history,
            locale=self._request.locale,
            # As they are by now: the model may be asked again, with less of the history.
            paused=[*started.paused[:-1], paused] if paused else [],
            approved=self._reply.approved_left,
            tools=self._client_tools,
            carried=started.pause.carried if started.pause else {},
            allowed_tools=started.allowed_tools,
        )

    @property
    def _client_tools(self) -> Sequence[dict[str, JsonValue]]:
        """The client's own tools: of the message, or of the paused turn that this one goes on with."""
        new, pause = self._request.new, self._started.pause
        return new.tools if isinstance(new, NewMessage) else pause.tools if pause else ()


def _kept(carried: Mapping[str, str]) -> dict[str, str]:
    """Return what a paused turn keeps for the model: without its reasoning where there is no room for that beside the reply."""
    size = sum(len(text.encode()) for text in carried.values())
    if size > MAX_CARRIED_BYTES:
        logger.warning("a paused turn forgets %d bytes of the model's reasoning: there is no room for them", size)
        return {}
    return dict(carried)
