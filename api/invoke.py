"""For simple callers: ask and get the answer; ask many questions; ask and read the answer as it comes.

All are turns of a thread like any other, which is made where the caller names none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import sse
from api.deps import OwnerDep, ServicesDep
from api.examples import BATCH_EXAMPLE, INVOCATION_EXAMPLE
from api.json_route import JsonRoute
from api.problems import error_responses, http_error_responses, problem_response, request_id
from api.schemas import BatchAnswers, BatchResult, Invocation, InvocationAnswer, Questions
from api.streaming import stream_response
from api.turn_errors import TURN_ERRORS
from errors import ChatError, InvalidRequest, StoreUnavailable, ThreadDeleting, ThreadNotFound, TurnInProgress
from events import MessageDelta, ToolCompleted, ToolStarted, TurnEvent, TurnFailed, TurnStarted
from models import Owner, Problem, new_id
from services.services import Services
from stores.types import NewMessage
from turns.event_log import EventLog
from turns.thread_reference import resolve_thread

QUESTIONS_AT_ONCE = 5
BODY_ERRORS = http_error_responses(408, 413, 415)
STREAM_EXAMPLE = b"".join(
    (
        sse.encode_json("metadata", {"run_id": "turn_…", "thread_id": "thread_…"}),
        sse.encode_json("on_tool_start", {"name": "calculate", "call_id": "call_1", "arguments": {"expression": "85 * 0.15"}}),
        sse.encode_json("on_tool_end", {"name": "calculate", "call_id": "call_1", "result": 12.75, "duration_ms": 1}),
        sse.encode_text("data", "85 * 0.15"),
        sse.encode_text("data", " = 12.75"),
        sse.encode_text("end", "85 * 0.15 = 12.75"),
    )
).decode()
router = APIRouter(prefix="/api", tags=["simple"], route_class=JsonRoute)


@dataclass(frozen=True, slots=True)
class QuestionRunner:
    """Asks the agent on behalf of one request."""

    services: Services
    owner: Owner
    request_id: str | None

    async def thread(self, reference: str | None) -> str:
        """Return the id of the thread that the caller means; without a reference it is new."""
        return await resolve_thread(self.services.store, self.owner, reference)

    async def start(self, thread_id: str, content: str, *, stream: bool = False) -> EventLog:
        """Start a turn."""
        new = NewMessage(new_id("turn"), content, {})
        return await self.services.turns.start(self.owner, thread_id, new, stream=stream, request_id=self.request_id)

    async def answer(self, thread_id: str | None, question: str) -> tuple[str, BatchResult]:
        """Return the answer and how it came about; an error is part of that."""
        try:
            thread_id = thread_id or await self.thread(None)
            outcome = await (await self.start(thread_id, question)).wait()
        except ChatError as error:
            outcome = Problem.of(error, self.request_id)
        if isinstance(outcome, Problem):
            return "", BatchResult(thread_id=thread_id, problem=outcome)
        return outcome.content, BatchResult(
            thread_id=thread_id, message_id=outcome.id, tool_calls=outcome.tool_calls, citations=outcome.citations
        )


@router.post(
    "/invoke",
    summary="Ask a question",
    response_model=InvocationAnswer,
    responses={
        200: {"content": {"application/json": {"example": INVOCATION_EXAMPLE}}},
        **BODY_ERRORS,
        **error_responses(ThreadDeleting, *TURN_ERRORS),
    },
)
async def invoke(body: Invocation, request: Request, services: ServicesDep, owner: OwnerDep) -> Response:
    """Answer a question, in the given thread or in a new one; a session id of your own names a thread too."""
    asker = QuestionRunner(services, owner, request_id(request))
    thread_id = await asker.thread(body.thread_id)
    outcome = await (await asker.start(thread_id, body.user_input)).wait()
    if isinstance(outcome, Problem):
        return problem_response(outcome)
    answer = InvocationAnswer(
        final_answer=outcome.content,
        thread_id=thread_id,
        message_id=outcome.id,
        tool_calls=outcome.tool_calls,
        citations=outcome.citations,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.post(
    "/batch",
    summary="Ask many questions",
    responses={
        200: {"content": {"application/json": {"example": BATCH_EXAMPLE}}},
        **BODY_ERRORS,
        **error_responses(ThreadNotFound, ThreadDeleting, InvalidRequest, StoreUnavailable),
    },
)
async def batch(body: Questions, request: Request, services: ServicesDep, owner: OwnerDep) -> BatchAnswers:
    """Answer up to 20 questions, in their order.

    With a `thread_id` they are turns of it, one after another; without, each has a thread of its own. A question that cannot be
    answered has its `problem` in `results` and an empty answer; the others are answered.
    """
    asker = QuestionRunner(services, owner, request_id(request))
    if body.thread_id:
        thread_id = await asker.thread(body.thread_id)
        await services.store.get_thread(owner, thread_id)
        answered = [await asker.answer(thread_id, question) for question in body.questions]
    else:
        slots = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def answer(question: str) -> tuple[str, BatchResult]:
            async with slots:
                return await asker.answer(None, question)

        answered = await asyncio.gather(*map(answer, body.questions))
    return BatchAnswers(answers=[text for text, _ in answered], results=[result for _, result in answered])


@router.post(
    "/stream",
    summary="Ask a question, and read the answer as it comes",
    response_class=Response,
    responses={
        200: {"content": {sse.MEDIA_TYPE: {"example": STREAM_EXAMPLE}}},
        **BODY_ERRORS,
        **error_responses(ThreadNotFound, ThreadDeleting, TurnInProgress, InvalidRequest, StoreUnavailable),
    },
)
async def stream(body: Invocation, request: Request, services: ServicesDep, owner: OwnerDep) -> Response:
    """Answer a question as server-sent events, in the given thread or in a new one.

    `metadata` comes first, with `run_id` (the turn's id) and `thread_id`; `data` is a piece of the text; `on_tool_start` and
    `on_tool_end` are JSON; `end` has the whole text, or `error` the problem.
    """
    asker = QuestionRunner(services, owner, request_id(request))
    thread_id = await asker.thread(body.thread_id)
    log = await asker.start(thread_id, body.user_input, stream=True)
    return stream_response(_simple_events(thread_id, log, services.intervals.heartbeat), sse.MEDIA_TYPE)


async def _simple_events(thread_id: str, log: EventLog, heartbeat: float) -> AsyncIterator[bytes]:
    yield sse.encode_json("metadata", {"run_id": log.id, "thread_id": thread_id})
    async for events in log.stream(heartbeat_interval=heartbeat):
        if chunk := b"".join(map(_simple_event, events)) if events else sse.HEARTBEAT:
            yield chunk


def _simple_event(event: TurnEvent) -> bytes:
    if isinstance(event, MessageDelta):
        return sse.encode_text("data", event.text)
    if isinstance(event, ToolStarted | ToolCompleted):
        name = "on_tool_start" if isinstance(event, ToolStarted) else "on_tool_end"
        fields = event.model_dump(exclude={"id", "type", "turn_id", "tool"})
        return sse.encode_json(name, {"name": event.tool, **fields})
    if isinstance(event, TurnFailed):
        return sse.encode_json("error", event.problem)
    if isinstance(event, TurnStarted):
        return b""
    return sse.encode_text("end", event.message.content)
