"""The turns of this process: starts them, follows them, cancels them. Knows no HTTP, no Azure and no Teams.

A turn runs in a task of its own and writes its events to a log in memory; whoever asked for it follows the log and may go away
at any time without stopping the turn. Others follow it through the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from calls import CANCELLED, Decider
from errors import Busy, CallsUndecided, TurnContinued, TurnEnded, TurnInProgress, TurnInterrupted, TurnNotFound
from events import TurnEvent
from models import Message, Owner, Turn, new_id, utcnow
from observability import metrics
from stores.contract import ThreadStore
from stores.types import NewContinuation, NewMessage, NewTurn
from turns.context import TurnContext, TurnRequest
from turns.decisions import Decided, Decisions, decide
from turns.event_log import EventLog
from turns.event_writer import EventWriter
from turns.follow import TurnFollowers
from turns.intervals import TurnIntervals
from turns.poller import PollOptions
from turns.runner import TurnRunner
from turns.thread_reference import ThreadReference
from turns.waiting import Deadline, Place, Wait, WaitingLines

if TYPE_CHECKING:
    from agent.agent import ChatAgent
    from quotas.quotas import Quotas
    from settings import Settings


# Called with a turn's reply.
After = Callable[[Message], Awaitable[None]]


# Of a paused turn that other reads still show as running.
READS = 5


class HowToStart(TypedDict):
    """What :meth:`Turns.start` takes beside the message."""

    stream: bool
    request_id: str | None
    locale: str | None


class Turns:
    """Starts turns and keeps them running, one task each, until they end or the process stops."""

    def __init__(
        self,
        store: ThreadStore,
        agent: Callable[[], Awaitable[ChatAgent]],
        quotas: Quotas,
        settings: Settings,
        intervals: TurnIntervals = TurnIntervals(),  # noqa: B008 - immutable
    ) -> None:
        self._store = store
        self._settings = settings
        self._event_writer = EventWriter(store, seconds_to_live=settings.event_ttl_seconds, interval=intervals.save)
        self._followers = TurnFollowers(store, PollOptions(intervals, events_kept=settings.event_ttl_seconds > 0))
        self._context = TurnContext(store, agent, quotas, settings, self._event_writer, intervals)
        self._tasks: set[asyncio.Task[None]] = set()
        self._runners: dict[str, TurnRunner] = {}
        self._lines = WaitingLines()
        self._stopping = False

    async def start(
        self,
        owner: Owner,
        thread: str | ThreadReference,
        new: NewTurn,
        *,
        stream: bool,
        request_id: str | None = None,
        locale: str | None = None,
        waited: float = 0,
        after: After | None = None,
    ) -> EventLog:
        """Accept a message, start its turn and return the log; a replayed turn has ended already.

        The parameters are as in :class:`TurnRequest`; ``after`` is called with the reply, once there is one. :meth:`go_on` is
        for paused turns.

        :raises ThreadNotFound, TurnInProgress, IdempotencyKeyReused, StoreError: as :meth:`ThreadStore.begin_turn` does.
        :raises ThreadDeleting: as :func:`~turns.thread_reference.resolve_thread` does.
        :raises RateLimited: as :meth:`Quotas.begin_turn` does.
        :raises Busy: if the process runs as many turns as it may.
        :raises TurnInterrupted: if the process is stopping.
        """
        if self._stopping:
            raise TurnInterrupted("The service is stopping.")
        if len(self._tasks) >= self._settings.process_max_turns:
            metrics.limits_hit.add(1, {"chat.limit": "process_turns", "chat.limit.scope": "process"})
            raise Busy
        runner = TurnRunner(self._context, TurnRequest(owner, thread, new, stream, request_id, locale, waited))
        # In a task of its own from the start: a caller who leaves now must not leave a lease without a turn behind.
        task = asyncio.create_task(self._run(new.turn_id, runner, after))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await runner.begun

    async def start_when_free(
        self, owner: Owner, thread_id: str, new: NewMessage, wait: Wait, **how: Unpack[HowToStart]
    ) -> tuple[EventLog, float]:
        """Start a turn as :meth:`start` does, as soon as its thread is free; return its log and the seconds that it waited.

        In this process, messages keep the order in which they came. Who waits holds nothing that others need.

        :raises TurnInProgress: if the thread is not free in time, or the caller has left.
        """
        if not wait.limit:
            if self._lines.is_waited_for(thread_id) and not await self._is_replay(owner, thread_id, new):
                raise TurnInProgress
            return await self.start(owner, thread_id, new, **how), 0
        deadline = Deadline(wait.limit)
        async with self._lines.place(thread_id, first=wait.interrupt) as place:
            waited = 0.0
            while True:
                busy = TurnInProgress()
                if waited and await wait.has_left():
                    raise busy
                if place.is_first:
                    try:
                        return await self.start(owner, thread_id, new, waited=waited, **how), waited
                    except TurnInProgress as error:
                        busy = error
                if not deadline.left:
                    raise busy
                if wait.interrupt and busy.turn_id:
                    new = await self._interrupt(owner, thread_id, busy.turn_id, new)
                await self._until_changed(busy, place, min(self._context.intervals.free, deadline.left))
                waited = deadline.waited

    async def _is_replay(self, owner: Owner, thread_id: str, new: NewMessage) -> bool:
        return new.idempotency_key is not None and await self._store.find_replay(owner, thread_id, new) is not None

    async def _interrupt(self, owner: Owner, thread_id: str, turn_id: str, new: NewMessage) -> NewMessage:
        """Cancel a turn, and return the message as the one that took its place; it may have ended by itself."""
        if new.cancelled_turn_id == turn_id:
            return new
        try:
            await self._store.request_cancel(owner, thread_id, turn_id)
        except (TurnEnded, TurnNotFound):
            return new
        if runner := self._runners.get(turn_id):
            runner.cancel()
        return replace(new, cancelled_turn_id=turn_id)

    async def _until_changed(self, busy: TurnInProgress, place: Place, seconds: float) -> None:
        """Wait until the turn that runs has ended, if this process runs it, or the line has moved, or for so many seconds."""
        log = self._event_writer.log(busy.turn_id) if busy.turn_id else None
        if log is None or log.ended:
            await place.until_moved(seconds)
            return
        try:
            await asyncio.wait_for(log.wait(), seconds)
        except TimeoutError:
            return

    async def go_on(
        self,
        owner: Owner,
        thread_id: str,
        turn_id: str,
        decisions: Decisions,
        *,
        decided_by: str,
        idempotency_key: str | None = None,
        stream: bool,
        request_id: str | None = None,
        locale: str | None = None,
        after: After | None = None,
    ) -> EventLog:
        """Go on with a paused turn, whose open calls are all decided about: start the turn that does, and return its log.

        Of two requests one is first; a repeated one gets the answer that there is, as with messages.

        :raises InvalidRequest, ApprovalExpired: as :func:`turns.decisions.decide` does.
        :raises ThreadNotFound, TurnNotFound, TurnEnded, TurnContinued, IdempotencyKeyReused, StoreError: as
            :meth:`ThreadStore.begin_continuation` does.
        :raises RateLimited, Busy, TurnInterrupted: as :meth:`start` does.
        """
        for _ in range(READS):
            turn = await self.get(owner, thread_id, turn_id)
            decided = _decided(turn, decisions, Decider(decided_by, utcnow()))
            new = NewContinuation(
                new_id("turn"),
                turn_id,
                decided.calls if decided else None,
                decisions.as_json,
                decided.approved if decided else frozenset(),
                decided.remembered if decided else frozenset(),
                idempotency_key,
            )
            with suppress(CallsUndecided):
                log = await self.start(owner, thread_id, new, stream=stream, request_id=request_id, locale=locale, after=after)
                if decided and not log.replayed:
                    decided.count()
                return log
        raise TurnContinued

    async def get(self, owner: Owner, thread_id: str, turn_id: str) -> Turn:
        """Return how a turn stands.

        :raises ThreadNotFound, TurnNotFound, StoreError: as :meth:`ThreadStore.get_progress` does.
        """
        return (await self._store.get_progress(owner, thread_id, turn_id, after=None)).turn

    async def follow(
        self, owner: Owner, thread_id: str, turn_id: str, *, after: int, heartbeat_interval: float
    ) -> AsyncGenerator[Sequence[TurnEvent]] | None:
        """Return a turn's events after number ``after``, live and in batches; ``None`` if there are none and it has ended.

        A batch is empty when nothing has come for ``heartbeat_interval`` seconds. Close it when you leave before the end.

        :raises ThreadNotFound, TurnNotFound, StoreError: as :meth:`ThreadStore.get_progress` does.
        """
        progress = await self._store.get_progress(owner, thread_id, turn_id, after=after)
        log = self._event_writer.log(turn_id)
        if log and log.ended and log.final_id is None:
            # Abandoned: only the store knows how the turn has ended.
            log = None
        final_id = log.final_id if log else progress.final_event_id
        if final_id is not None and after >= final_id:
            return None
        if log:
            return log.stream(after=after, heartbeat_interval=heartbeat_interval)
        return self._followers.stream(owner, progress, after=after, heartbeat_interval=heartbeat_interval)

    async def cancel(self, owner: Owner, thread_id: str, turn_id: str) -> None:
        """Stop a turn: at once if this process runs it, else within seconds. Its partial reply is kept.

        What is open of a paused one is refused.

        :raises ThreadNotFound, TurnNotFound, TurnEnded, StoreError: as :meth:`ThreadStore.request_cancel` does.
        """
        try:
            await self._store.request_cancel(owner, thread_id, turn_id)
        except TurnEnded:
            by = Decider(owner.user, utcnow(), CANCELLED)
            await self._store.cancel_paused(owner, thread_id, turn_id, by)
            return
        if runner := self._runners.get(turn_id):
            runner.cancel()

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
        await self._followers.aclose()
        await self._event_writer.aclose()

    async def _run(self, turn_id: str, runner: TurnRunner, after: After | None) -> None:
        self._runners[turn_id] = runner
        try:
            await runner.run()
        finally:
            del self._runners[turn_id]
        if after and not runner.begun.cancelled() and runner.begun.exception() is None:
            log = runner.begun.result()
            if isinstance(log.result, Message):
                # Of a replay, too: the process that had the turn may have died before this.
                await after(log.result)


def _decided(turn: Turn, decisions: Decisions, by: Decider) -> Decided | None:
    """Decide about a turn's open calls; ``None`` of one that was read before it paused, or while somebody else decided."""
    if turn.status == "paused" and turn.continued_by is None and turn.message and turn.message.open_calls:
        return decide(turn.message, decisions, by)
    return None
