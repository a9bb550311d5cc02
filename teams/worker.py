"""Working on activities: in the order of their conversation, one attempt at a time, until nothing is left to be done."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from errors import ChatError, StoreUnavailable, TurnInProgress
from teams.activity import Incoming
from teams.attempt import Attempt, Redeliver
from teams.clock import Clock
from teams.connector import Adapter
from teams.handler import ActivityHandler
from teams.job import Job, Later
from teams.order import ConversationOrder, Standing
from teams.sender import count_delivery

# After each failure, how long until the next attempt. For so many of them the messages behind wait; then they go on.
DELIVERY_DELAYS = (5.0, 10.0, 20.0, 20.0, 20.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0)
ANSWER_DELAYS = DELIVERY_DELAYS[:8]
FAILURES_IN_ORDER = 6
# However it failed: also by the deaths of processes, which leave no word of it.
MAX_FAILURES = 20
# How long a message waits for a turn that another channel has begun in its thread: here, and in the queue.
MAX_WAIT_SECONDS = 90.0
MAX_QUEUED_SECONDS = 900.0
# Between attempts to remember that an activity is done.
SETTLE_DELAYS = (1.0, 5.0)
RELEASE_SECONDS = 3.0
logger = logging.getLogger(__name__)


class Superseded(Exception):
    """Somebody else has taken the work over."""


class Worker:
    """Works on activities; ``is_kept`` says that they are in a queue meanwhile, which a crash does not end."""

    def __init__(
        self, handler: ActivityHandler, order: ConversationOrder, adapter: Adapter, clock: Clock, *, is_kept: bool
    ) -> None:
        self._handler = handler
        self._order = order
        self._adapter = adapter
        self._clock = clock
        self._is_kept = is_kept

    async def run(self, job: Job, accepted: Callable[[], None] = lambda: None) -> object:
        """Work on an activity here until nothing is left to be done; return what its request is to be answered with.

        ``accepted`` is called when its message is in its thread.
        """
        try:
            while True:
                done = await self.work(job, accepted)
                if not isinstance(done, Later):
                    return done
                job = done.job
                if done.in_line:
                    # Who was woken early has not watched for as long as was to be.
                    early = done.seconds - await self._order.wait(done.seconds)
                    job = replace(job, watch=job.watch._replace(seconds=max(0.0, job.watch.seconds - max(0.0, early))))
                else:
                    await self._clock.sleep(done.seconds)
        except BaseException:
            # Nobody else will work on it: those behind it need not wait.
            logger.warning("an activity is given up (request %s): it failed, or the process stops", job.request_id)
            count_delivery("given_up")
            await self._leave(job.incoming)
            raise

    async def work(self, job: Job, accepted: Callable[[], None] = lambda: None) -> object:
        """Work on an activity if it is its turn; return a :class:`Later` if something is left to be done.

        Else return what its request is to be answered with.

        :raises Redeliver: if it is given up, and a queue keeps it.
        """
        incoming, worker = job.incoming, uuid.uuid4().hex[:12]
        if job.failures > MAX_FAILURES:
            raise Redeliver(is_stored=False, reason="too many failures")
        if not incoming.is_ordered:
            return await self._attempt(job, worker, accepted)
        try:
            standing = await self._order.enter(incoming, worker, job.watch, in_order=job.in_order)
        except StoreUnavailable as error:
            if self._is_kept:
                return await self._retry(job, worker, Redeliver(is_stored=False, reason=error.type))
            # Nobody keeps it: the attempt fails of it, too, and tells the user.
            standing = Standing(is_done=False)
        if standing.is_done:
            return None
        if standing.ahead:
            return Later(replace(job, watch=standing.watch), standing.look_in, in_line=True)
        return await self._attempt(job, worker, accepted)

    async def _attempt(self, job: Job, worker: str, accepted: Callable[[], None]) -> object:
        incoming, stored = job.incoming, job.stored

        def take_note() -> None:
            nonlocal stored
            stored = True
            accepted()

        attempt = Attempt(
            incoming,
            job.request_id,
            is_first=not job.begun,
            is_stored=job.stored,
            failures=job.failures,
            may_wait=job.waited < (MAX_QUEUED_SECONDS if self._is_kept else MAX_WAIT_SECONDS),
            may_repeat=self._is_kept,
            accepted=take_note,
        )

        async def answer() -> object:
            # A copy: what an attempt makes of its activity does not go into the queue.
            activity = incoming.activity.model_copy(update={"id": None} if incoming.is_reply else {})
            return await self._adapter.run(activity, lambda context: self._handler.answer(attempt, context))

        job = replace(job, begun=True)
        try:
            response = await self._while_ours(incoming, worker, answer)
        except Superseded:
            logger.warning("an attempt is stopped: another process has taken its activity over")
            return None
        except TurnInProgress as error:
            seconds = min(2.0, error.retry_after or 1.0)
            await self._release(incoming, worker)
            return Later(replace(job, waited=job.waited + seconds, stored=stored), seconds)
        except Redeliver as error:
            return await self._retry(replace(job, stored=stored or error.is_stored), worker, error)
        except BaseException:
            # Also of a process that stops: the next attempt need not wait until this one is held to be dead.
            await self._release(incoming, worker)
            raise
        if incoming.is_ordered:
            await self._settle(incoming)
        return response

    async def _while_ours(self, incoming: Incoming, worker: str, answer: Callable[[], Awaitable[object]]) -> object:
        """Work, beating, until it is done, or somebody else has taken it over: then theirs is the answer."""
        if not incoming.is_ordered:
            return await answer()
        answering = asyncio.ensure_future(answer())
        beating = asyncio.create_task(self._order.beat(incoming, worker))
        try:
            await asyncio.wait((answering, beating), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return await answering
            raise Superseded
        finally:
            for task in (answering, beating):
                task.cancel()
            await asyncio.gather(answering, beating, return_exceptions=True)

    async def _retry(self, job: Job, worker: str, error: Redeliver) -> Later | None:
        delays = DELIVERY_DELAYS if error.is_stored else ANSWER_DELAYS
        failures = job.failures + 1
        in_order = failures <= FAILURES_IN_ORDER and not error.is_refusal
        await (self._release(job.incoming, worker) if in_order else self._leave(job.incoming))
        if failures <= len(delays):
            return Later(replace(job, failures=failures, in_order=in_order), delays[failures - 1])
        if self._is_kept:
            raise error
        logger.error("an activity is given up (request %s): %s", job.request_id, error.reason)
        count_delivery("given_up")
        return None

    async def _release(self, incoming: Incoming, worker: str) -> None:
        if not incoming.is_ordered:
            return
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._order.release(incoming, worker)
        except (ChatError, TimeoutError):
            logger.warning("a place in the order could not be released: it is, once its worker is held to be dead")

    async def _leave(self, incoming: Incoming) -> None:
        with suppress(ChatError):
            await self._order.leave(incoming, done=False)

    async def _settle(self, incoming: Incoming) -> None:
        """Remember that nothing is left to be done; a store that cannot be had is no reason to do it again."""
        for delay in (*SETTLE_DELAYS, None):
            try:
                await self._order.leave(incoming, done=True)
            except ChatError as error:
                if delay is None:
                    logger.warning("an activity that is done could not be marked so: %s", error.type)
                else:
                    await self._clock.sleep(delay)
            else:
                return
