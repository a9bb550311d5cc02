"""For simple callers: ask and get the answer, or read it as it comes.

Both are turns of a thread like any other, which is made where the caller names none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import sse
from api.deps import OwnerDep, ServicesDep, StreamPlaceDep
from api.examples import INVOCATION_EXAMPLE
from api.json_route import JsonRoute
from api.problems import BODY_ERRORS, error_responses, problem_response, request_id
from api.reasoning import batches_for
from api.schemas import Invocation, InvocationAnswer
from api.streaming import stream_response
from api.turn_errors import TURN_ERRORS
from errors import InvalidRequest, StoreUnavailable, ThreadDeleting, ThreadNotFound, TurnInProgress
from events import (
    MessageCompleted,
    MessageDelta,
    ToolCompleted,
    ToolStarted,
    TurnCancelled,
    TurnEvent,
    TurnFailed,
    TurnPaused,
)
from models import Owner, Problem, new_id
from services.services import Services
from stores.types import NewMessage
from turns.event_log import EventLog
from turns.thread_reference import ThreadReference

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
STREAM_SCHEMA: dict[str, Any] = {"type": "string", "description": "Server-sent events."}
router = APIRouter(prefix="/api", tags=["simple"], route_class=JsonRoute)


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
    log = await _start(body, request, services, owner, stream=False)
    outcome = await log.wait()
    if isinstance(outcome, Problem):
        return problem_response(outcome)
    answer = InvocationAnswer(
        final_answer=outcome.content,
        status=outcome.status,
        thread_id=log.thread_id,
        message_id=outcome.id,
        turn_id=outcome.turn_id,
        open_calls=outcome.open_calls,
        tool_calls=outcome.tool_calls,
        citations=outcome.citations,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.post(
    "/stream",
    summary="Ask a question, and read the answer as it comes",
    response_class=Response,
    responses={
        200: {"content": {sse.MEDIA_TYPE: {"schema": STREAM_SCHEMA, "example": STREAM_EXAMPLE}}},
        **BODY_ERRORS,
        **error_responses(ThreadNotFound, ThreadDeleting, TurnInProgress, InvalidRequest, StoreUnavailable),
    },
)
async def stream(body: Invocation, request: Request, services: ServicesDep, owner: OwnerDep, place: StreamPlaceDep) -> Response:
    """Answer a question as server-sent events, in the given thread or in a new one.

    `metadata` comes first, with `run_id` (the turn's id) and `thread_id`; `data` is a piece of the text; `on_tool_start` and
    `on_tool_end` are JSON; `end` has the whole text, or `error` the problem. Where tool calls wait for somebody, `paused` comes
    instead, with `turn_id`, the text so far as `final_answer`, and `open_calls`.
    """
    await place.take()
    log = await _start(body, request, services, owner, stream=True)
    return stream_response(_simple_events(log, services.intervals.heartbeat), sse.MEDIA_TYPE)


async def _start(body: Invocation, request: Request, services: Services, owner: Owner, *, stream: bool) -> EventLog:
    new = NewMessage(new_id("turn"), body.user_input, {})
    thread = ThreadReference(body.thread_id)
    return await services.turns.start(owner, thread, new, stream=stream, request_id=request_id(request))


async def _simple_events(log: EventLog, heartbeat: float) -> AsyncGenerator[bytes]:
    yield sse.encode_json("metadata", {"run_id": log.id, "thread_id": log.thread_id})
    batches = log.stream(heartbeat_interval=heartbeat)
    async for events in batches_for(batches, reasoning=False, heartbeat_interval=heartbeat):
        if chunk := b"".join(map(_simple_event, events)) if events else sse.HEARTBEAT:
            yield chunk
    if log.final_id is None:
        yield sse.encode_json("error", log.result)


def _simple_event(event: TurnEvent) -> bytes:
    if isinstance(event, MessageDelta):
        return sse.encode_text("data", event.text)
    if isinstance(event, ToolStarted | ToolCompleted):
        name = "on_tool_start" if isinstance(event, ToolStarted) else "on_tool_end"
        fields = event.model_dump(exclude={"id", "type", "turn_id", "tool"})
        return sse.encode_json(name, {"name": event.tool, **fields})
    if isinstance(event, TurnFailed):
        return sse.encode_json("error", event.problem)
    if isinstance(event, TurnPaused):
        open_calls = [call.model_dump(mode="json") for call in event.message.open_calls]
        return sse.encode_json(
            "paused", {"turn_id": event.turn_id, "final_answer": event.message.content, "open_calls": open_calls}
        )
    if not isinstance(event, MessageCompleted | TurnCancelled):
        return b""
    return sse.encode_text("end", event.message.content)
