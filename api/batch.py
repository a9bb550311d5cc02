"""Many questions in one request: each is a turn like any other, and all together have one deadline."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from fastapi import APIRouter, Request

from api.deps import OwnerDep, ServicesDep
from api.examples import BATCH_EXAMPLE
from api.json_route import JsonRoute
from api.problems import BODY_ERRORS, error_responses, request_id
from api.schemas import Batch, BatchAnswers, BatchResult
from api.secured_route import quota_headers
from errors import ChatError, InternalError, InvalidRequest, StoreUnavailable, ThreadDeleting, ThreadNotFound, TurnTimeout
from models import Message, Owner, Problem, new_id
from quotas.quotas import RequestLimitExceeded, TurnLimitExceeded
from services.services import Services
from stores.types import NewMessage
from turns.event_log import EventLog
from turns.thread_reference import ID_PREFIX, ThreadReference

QUESTIONS_AT_ONCE = 5
logger = logging.getLogger(__name__)
router = APIRouter(prefix="/api", tags=["simple"], route_class=JsonRoute)
Answer = tuple[str, BatchResult]


@router.post(
    "/batch",
    summary="Ask many questions",
    responses={
        200: {"content": {"application/json": {"example": BATCH_EXAMPLE}}},
        **BODY_ERRORS,
        **error_responses(ThreadNotFound, ThreadDeleting, InvalidRequest, StoreUnavailable),
    },
)
async def batch(body: Batch, request: Request, services: ServicesDep, owner: OwnerDep) -> BatchAnswers:
    """Answer up to 20 questions, in their order.

    With a `thread_id` they are turns of it, one after another, and one behind a turn that pauses refuses what that asks;
    without, each has a thread of its own. A question that cannot be answered has its `problem` in `results` and an empty
    answer; the others are answered. Each question counts as a request.
    What has no answer after `BATCH_TIMEOUT_SECONDS` has the problem `turn_timeout`: a turn that had begun goes on, and its
    answer will be in the thread that the result names. No further question is asked once the caller has left.
    """
    if body.thread_id and body.thread_id.startswith(ID_PREFIX):
        await services.store.get_thread(owner, body.thread_id)
    asker = _BatchRunner(services, owner, request)
    refusals = await asker.count(len(body.questions))
    questions = list(zip(body.questions, refusals, strict=True))
    if body.thread_id:
        thread = ThreadReference(body.thread_id)
        answered = [await asker.answer(thread, question, refusal) for question, refusal in questions]
    else:
        slots = asyncio.Semaphore(min(QUESTIONS_AT_ONCE, services.quotas.turns_at_once(owner) or QUESTIONS_AT_ONCE))

        async def answer(question: str, refusal: ChatError | None) -> Answer:
            async with slots:
                return await asker.answer(ThreadReference(None), question, refusal)

        answered = await asyncio.gather(*(answer(*each) for each in questions))
    return BatchAnswers(answers=[text for text, _ in answered], results=[result for _, result in answered])


@dataclass
class _BatchRunner:
    services: Services
    owner: Owner
    request: Request
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.deadline = asyncio.get_running_loop().time() + self.services.settings.batch_timeout_seconds

    async def count(self, questions: int) -> list[ChatError | None]:
        """Count each question as a request, the first of which is the batch's own; return what refuses each, if anything."""
        refusals: list[ChatError | None] = [None]
        while len(refusals) < questions:
            try:
                windows = await self.services.quotas.count_request(self.owner)
            except RequestLimitExceeded as error:
                windows = error.windows
                refusals += [error] * (questions - len(refusals))
            else:
                refusals.append(None)
            if windows:
                self.request.scope["quota_headers"] = quota_headers(windows)
        return refusals

    async def answer(self, thread: ThreadReference, question: str, refusal: ChatError | None) -> Answer:
        """Return the answer and how it came about; an error is part of that."""
        thread_id = thread.text if thread.text and thread.text.startswith(ID_PREFIX) else None
        outcome: Message | Problem
        try:
            if refusal:
                raise refusal
            async with asyncio.timeout(self._left):
                log = await self._start(thread, question)
                thread_id = log.thread_id
                outcome = await log.wait()
        except TimeoutError:
            outcome = self._problem(TurnTimeout(self.services.settings.batch_timeout_seconds))
        except ChatError as error:
            outcome = self._problem(error)
        except Exception as error:
            logger.exception("a question of a batch failed unexpectedly")
            cause = error if self.services.settings.dev_mode else None
            outcome = Problem.of(InternalError(), request_id(self.request), cause=cause)
        if isinstance(outcome, Problem):
            return "", BatchResult(thread_id=thread_id, problem=outcome)
        return outcome.content, BatchResult(
            thread_id=thread_id,
            message_id=outcome.id,
            status=outcome.status,
            turn_id=outcome.turn_id,
            open_calls=outcome.open_calls,
            tool_calls=outcome.tool_calls,
            citations=outcome.citations,
        )

    async def _start(self, thread: ThreadReference, question: str) -> EventLog:
        """Start a turn, as soon as there is a place for it among those that may run at once."""
        while True:
            if self._left <= 0 or await self.request.is_disconnected():
                raise TurnTimeout(self.services.settings.batch_timeout_seconds)
            new = NewMessage(new_id("turn"), question, {})
            try:
                return await self.services.turns.start(
                    self.owner, thread, new, stream=False, request_id=request_id(self.request)
                )
            except TurnLimitExceeded:
                await asyncio.sleep(min(self.services.intervals.place, max(0, self._left)))

    def _problem(self, error: ChatError) -> Problem:
        return Problem.of(error, request_id(self.request))

    @property
    def _left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()
