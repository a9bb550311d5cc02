"""One turn of the conversation: begin, run the agent, emit events, commit. Knows no HTTP, no Azure and no Teams.

A turn runs in a task of its own and writes its events to a log in memory; whoever asked for it follows the log and may go away
at any time without stopping the turn. Others follow it through the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from errors import Busy, ChatError, InternalError, LeaseLost, StoreUnavailable, TurnInterrupted, TurnTimeout
from events import TurnEvent, TurnFailed, TurnStarted
from models import Message, Metadata, Owner, Problem, Turn, TurnStatus, message_id, utcnow
from observability import metrics
from stores.contract import ThreadStore
from stores.types import NewMessage, ReplayedTurn, StartedTurn
from turns.event_log import Answer, TurnLog, replay
from turns.event_writer import EventKeeper
from turns.follow import stored_batches
from turns.history import estimate_tokens, fit_history
from turns.lease import KeptLease, TurnCancelled
from turns.telemetry import observed_turn

if TYPE_CHECKING:
    from agent.agent import ChatAgent, RunResult
    from quotas.quotas import Quotas
    from settings import Settings

# Between attempts to store how a turn has failed, each of which has tried for a while already.
RETRY_SECONDS = 0.5
logger = logging.getLogger(__name__)


class Turns:
    """Starts turns and keeps them running, one task each, until they end or the process stops."""

    def __init__(
        self, store: ThreadStore, agent: Callable[[], Awaitable[ChatAgent]], quotas: Quotas, settings: Settings
    ) -> None:
        self._store = store
        self._agent = agent
        self._quotas = quotas
        self._settings = settings
        self._keeper = EventKeeper(store, seconds_to_live=settings.event_ttl_seconds)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._leases: dict[str, KeptLease] = {}
        self._stopping = False

    async def start(
        self, owner: Owner, thread_id: str, new: NewMessage, *, stream: bool, request_id: str | None = None
    ) -> TurnLog:
        """Accept a message, start its turn and return the log; a replayed turn has ended already.

        With ``stream`` the model is asked to stream, for a reader who wants the text as it comes. ``request_id`` goes into
        the problem of a turn that fails.

        :raises ThreadNotFound, TurnInProgress, IdempotencyKeyReused, StoreError: as :meth:`ThreadStore.begin_turn` does.
        :raises RateLimited: as :meth:`Quotas.begin_turn` does.
        :raises Busy: if the process runs as many turns as it may.
        :raises TurnInterrupted: if the process is stopping.
        """
        if self._stopping:
            raise TurnInterrupted("The service is stopping.")
        if len(self._tasks) >= self._settings.process_max_turns:
            metrics.limits_hit.add(1, {"chat.limit": "process_turns", "chat.limit.scope": "process"})
            raise Busy
        begun: asyncio.Future[TurnLog] = asyncio.get_running_loop().create_future()
        # In a task of its own from the start: a caller who leaves now must not leave a lease without a turn behind.
        task = asyncio.create_task(self._turn(begun, owner, thread_id, new, stream, request_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await begun

    async def get(self, owner: Owner, thread_id: str, turn_id: str) -> Turn:
        """Return how a turn stands.

        :raises ThreadNotFound, TurnNotFound, StoreError: as :meth:`ThreadStore.get_progress` does.
        """
        return (await self._store.get_progress(owner, thread_id, turn_id, after=None)).turn

    async def follow(
        self, owner: Owner, thread_id: str, turn_id: str, *, after: int, silence: float
    ) -> AsyncIterator[Sequence[TurnEvent]] | None:
        """Return the batches of a turn's events behind number ``after``, live; ``None`` if its last one is not behind that.

        A batch is empty when nothing has come for ``silence`` seconds.

        :raises ThreadNotFound, TurnNotFound, StoreError: as :meth:`ThreadStore.get_progress` does.
        """
        progress = await self._store.get_progress(owner, thread_id, turn_id, after=after)
        log = self._keeper.log(turn_id)
        final_id = log.final_id if log else progress.final_event_id
        if final_id is not None and after >= final_id:
            return None
        if log:
            return log.batches(after=after, silence=silence)
        kept = self._settings.event_ttl_seconds > 0
        return stored_batches(self._store, owner, progress, after=after, silence=silence, events_kept=kept)

    async def cancel(self, owner: Owner, thread_id: str, turn_id: str) -> None:
        """Stop a turn: at once if this process runs it, else within seconds. Its partial answer is kept.

        :raises ThreadNotFound, TurnNotFound, TurnEnded, StoreError: as :meth:`ThreadStore.request_cancel` does.
        """
        await self._store.request_cancel(owner, thread_id, turn_id)
        if lease := self._leases.get(turn_id):
            lease.cancel()

    def stop_accepting(self) -> None:
        """Refuse new turns from now on."""
        self._stopping = True

    async def close(self, *, grace_seconds: float) -> None:
        """Let running turns finish for ``grace_seconds``, then end the others as interrupted."""
        self.stop_accepting()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._keeper.aclose()

    async def _turn(
        self,
        begun: asyncio.Future[TurnLog],
        owner: Owner,
        thread_id: str,
        new: NewMessage,
        stream: bool,
        request_id: str | None,
    ) -> None:
        tokens = 0
        try:
            with observed_turn(owner, thread_id, new.turn_id, stream=stream) as observed:
                await self._quotas.begin_turn(owner, new.turn_id)
                try:
                    started = await self._begin(owner, thread_id, new)
                    observed.log = log = TurnLog(new.turn_id) if isinstance(started, StartedTurn) else replay(started)
                    if not begun.done():
                        begun.set_result(log)
                    if isinstance(started, StartedTurn):
                        self._keeper.watch(thread_id, log)
                        tokens = await self._run(log, started, stream, request_id)
                finally:
                    await self._quotas.end_turn(owner, new.turn_id, tokens=tokens)
        except BaseException as error:
            if not begun.done():
                begun.set_exception(TurnInterrupted() if isinstance(error, asyncio.CancelledError) else error)
            if not isinstance(error, Exception):
                raise

    async def _begin(self, owner: Owner, thread_id: str, new: NewMessage) -> StartedTurn | ReplayedTurn:
        return await self._store.begin_turn(
            owner,
            thread_id,
            new,
            lease_seconds=self._settings.turn_lease_seconds,
            history_limit=self._settings.history_max_messages,
        )

    async def _run(self, log: TurnLog, started: StartedTurn, stream: bool, request_id: str | None) -> int:
        """Run a turn to its end, whatever that is, and return the tokens that it has used."""
        log.emit(TurnStarted(id=log.next_id, turn_id=log.id))
        answer = Answer(log)
        try:
            return await self._run_to_its_end(log, answer, started, stream)
        except asyncio.CancelledError:
            await self._fail(log, started, TurnInterrupted(), request_id)
            raise
        except Exception as error:  # noqa: BLE001 - whatever happens, the turn must end and say so
            await self._fail(log, started, error, request_id)
            return 0

    async def _run_to_its_end(self, log: TurnLog, answer: Answer, started: StartedTurn, stream: bool) -> int:
        lease = self._leases[log.id] = KeptLease(self._store, started, self._settings.turn_lease_seconds)
        try:
            async with lease:
                result = await self._answer(answer, started, stream)
        except TurnCancelled:
            metadata: Metadata = {"model": self._settings.model_name}
            reply = _reply(started, answer, "cancelled", metadata)
            await self._commit(log, started, "cancelled", reply=reply)
            log.end(reply)
            # The model says what it has used only at its end.
            return sum(map(estimate_tokens, (*started.history, started.message, reply)))
        else:
            usage: JsonValue = {"input_tokens": result.input_tokens, "output_tokens": result.output_tokens}
            reply = _reply(started, answer, "completed", {"model": result.model, "usage": usage})
            await self._commit(log, started, "completed", reply=reply)
            log.end(reply)
            return result.input_tokens + result.output_tokens
        finally:
            del self._leases[log.id]

    async def _answer(self, answer: Answer, started: StartedTurn, stream: bool) -> RunResult:
        seconds = self._settings.turn_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                agent = await self._agent()
                history = fit_history(started.history, self._settings.history_max_tokens)
                return await agent.run(history, started.message, observer=answer, stream=stream)
        except TimeoutError as error:
            raise TurnTimeout(seconds) from error

    async def _commit(
        self,
        log: TurnLog,
        started: StartedTurn,
        status: TurnStatus,
        *,
        reply: Message | None = None,
        problem: Problem | None = None,
    ) -> None:
        message = started.message.model_copy(update={"status": status, "problem": problem})
        await self._store.commit_turn(started, message=message, reply=reply, final_event_id=log.next_id)

    async def _fail(self, log: TurnLog, started: StartedTurn, error: BaseException, request_id: str | None) -> None:
        shown = error if isinstance(error, ChatError) else InternalError()
        level = logging.WARNING if isinstance(error, ChatError) else logging.ERROR
        logger.log(level, "turn %s of %s failed: %s", log.id, started.thread.id, shown.type, exc_info=error)
        problem = Problem.of(shown, request_id)
        if isinstance(error, LeaseLost):
            metrics.leases_lost.add(1)
        try:
            if not isinstance(error, LeaseLost):
                status: TurnStatus = "interrupted" if isinstance(error, TurnInterrupted) else "failed"
                # A process that is stopping has no time to wait for the store.
                patience = 0 if isinstance(error, asyncio.CancelledError) else self._settings.turn_lease_seconds
                if reply := await self._end_without_answer(log, started, status, problem, patience=patience):
                    log.end(reply)
        except Exception:
            logger.warning("end of turn %s not stored; its lease will expire", log.id, exc_info=True)
        finally:
            if not log.ended:
                log.emit(TurnFailed(id=log.next_id, turn_id=log.id, problem=problem))

    async def _end_without_answer(
        self, log: TurnLog, started: StartedTurn, status: TurnStatus, problem: Problem, *, patience: float
    ) -> Message | None:
        """Store that a turn has failed, trying for ``patience`` seconds; return its answer if that turns out to be stored.

        The commit of the answer may have succeeded although it was cut off, or no answer of the store came back. Until that is
        known nobody is told how the turn has ended, for as long as the lease keeps others from ending it.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while True:
            try:
                try:
                    await self._commit(log, started, status, problem=problem)
                except LeaseLost:
                    reply = (await self.get(started.owner, started.thread.id, started.turn_id)).message
                    if reply is None:
                        metrics.leases_lost.add(1)
                    return reply
                else:
                    return None
            except StoreUnavailable:
                if loop.time() + RETRY_SECONDS > deadline:
                    raise
                await asyncio.sleep(RETRY_SECONDS)


def _reply(started: StartedTurn, answer: Answer, status: TurnStatus, metadata: Metadata) -> Message:
    return Message(
        id=message_id(started.thread.id, started.reply_seq),
        thread_id=started.thread.id,
        seq=started.reply_seq,
        role="assistant",
        content=answer.content,
        timestamp=utcnow(),
        status=status,
        turn_id=started.turn_id,
        tool_calls=answer.tool_calls,
        citations=answer.citations,
        metadata=metadata,
    )
