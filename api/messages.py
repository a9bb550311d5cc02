"""Messages: send one and get the agent's answer; read the history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import WithJsonSchema

from api import ndjson, sse
from api.content_negotiation import AcceptHeader, negotiate, wants_async
from api.deps import OwnerDep, ServicesDep, StreamPlaceDep, ThreadId
from api.examples import MESSAGE_EXAMPLE, TURN_EXAMPLE
from api.json_route import JsonRoute
from api.problems import error_responses, http_error_responses, problem_response, request_id
from api.reasoning import WithReasoning, batches_for, message_for, turn_for
from api.schemas import MessageCreate, MessageList
from api.streaming import events_response, stream_content
from api.turn_errors import TURN_ERRORS
from errors import IdempotencyKeyReused, InvalidCursor, InvalidRequest, NotAcceptable, StoreUnavailable, ThreadNotFound
from models import MESSAGE_ID_PATTERN, Message, Order, Problem, message_seq, new_id
from stores.types import NewMessage
from turns.event_log import EventLog

router = APIRouter(prefix="/api/threads/{thread_id}/messages", tags=["messages"], route_class=JsonRoute)
REPLAYED_HEADER = {
    "Idempotent-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "The Idempotency-Key was used before: this is the answer of that turn.",
    }
}


ASYNC_HEADERS = {
    "Location": {"schema": {"type": "string"}, "description": "The turn's address."},
    "Preference-Applied": {"schema": {"type": "string", "enum": ["respond-async"]}},
}
AN_ID = {"pattern": MESSAGE_ID_PATTERN}
FORMATS = ("application/json", sse.MEDIA_TYPE, ndjson.MEDIA_TYPE)


@router.post(
    "",
    summary="Send a message",
    response_model=Message,
    responses={
        200: {
            "content": {"application/json": {"example": MESSAGE_EXAMPLE}, **stream_content(sse.MEDIA_TYPE, ndjson.MEDIA_TYPE)},
            "headers": REPLAYED_HEADER,
        },
        202: {
            "description": "The turn runs in the background (`Prefer: respond-async`).",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Turn"}, "example": TURN_EXAMPLE}},
            "headers": ASYNC_HEADERS | REPLAYED_HEADER,
        },
        **http_error_responses(408, 413, 415),
        **error_responses(NotAcceptable, IdempotencyKeyReused, *TURN_ERRORS),
    },
)
async def send_message(
    thread_id: ThreadId,
    body: MessageCreate,
    request: Request,
    services: ServicesDep,
    owner: OwnerDep,
    place: StreamPlaceDep,
    reasoning: WithReasoning = False,
    accept: AcceptHeader = None,
    # Several lines of a list are one text to clients; what we do not know of it is left alone (RFC 7240, section 2).
    prefer: Annotated[
        Annotated[list[str], WithJsonSchema({"type": "string"})] | None,
        Header(description="`respond-async`: answer at once with the turn."),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=r"^[\x21-\x7e]{1,255}$",
            description="Send the same key with every retry of a message: it is stored once and answered once.",
        ),
    ] = None,
) -> Response:
    """Store the user's message, let the agent answer it, and return the assistant's message.

    With `Accept: text/event-stream` or `application/x-ndjson` the turn's events are streamed as they happen; they end with
    `message.completed`, `turn.failed` or `turn.cancelled`, and a stream that breaks off is taken up at the turn's events. The
    message is kept from the moment it is accepted, even if the turn fails; the turn goes on if the caller leaves.
    """
    media_type = negotiate(accept, FORMATS)
    respond_async = wants_async(prefer)
    is_stream = not respond_async and media_type != "application/json"
    if is_stream:
        await place.take()
    new = NewMessage(new_id("turn"), body.content, body.metadata, idempotency_key)
    log = await services.turns.start(owner, thread_id, new, stream=respond_async or is_stream, request_id=request_id(request))
    replayed = {"Idempotent-Replayed": "true"} if log.replayed else {}
    if respond_async:
        turn = turn_for(await services.turns.get(owner, thread_id, log.id), reasoning=reasoning)
        location = f"/api/threads/{thread_id}/turns/{log.id}"
        headers = {"Location": location, "Preference-Applied": "respond-async", **replayed}
        return Response(turn.model_dump_json(), 202, headers, "application/json")
    if is_stream:
        heartbeat = services.intervals.heartbeat
        batches = batches_for(log.stream(heartbeat_interval=heartbeat), reasoning=reasoning, heartbeat_interval=heartbeat)
        return events_response(batches, media_type, replayed)
    return await _as_json(log, replayed, reasoning=reasoning)


@router.get(
    "",
    summary="Read the history",
    responses={
        200: {"content": {"application/json": {"example": {"messages": [MESSAGE_EXAMPLE], "next_cursor": None}}}},
        **error_responses(ThreadNotFound, InvalidRequest, StoreUnavailable),
    },
)
async def list_messages(
    thread_id: ThreadId,
    services: ServicesDep,
    owner: OwnerDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(description="A message's id: only later messages.", json_schema_extra=AN_ID)] = None,
    before: Annotated[str | None, Query(description="A message's id: only earlier ones.", json_schema_extra=AN_ID)] = None,
    order: Annotated[Order, Query(description="`asc`: oldest first; `desc`: newest first.")] = "asc",
    reasoning: WithReasoning = False,
) -> MessageList:
    """List a thread's messages, one page at a time."""
    page = await services.store.list_messages(
        owner,
        thread_id,
        limit=limit,
        after=_seq(thread_id, after, "query.after"),
        before=_seq(thread_id, before, "query.before"),
        order=order,
    )
    messages = [message_for(message, reasoning=reasoning) for message in page.items]
    return MessageList(messages=messages, next_cursor=page.next_cursor)


async def _as_json(log: EventLog, headers: dict[str, str], *, reasoning: bool) -> Response:
    """Render a turn as its outcome: the assistant's message, or the problem."""
    outcome = await log.wait()
    if isinstance(outcome, Problem):
        return problem_response(outcome)
    shown = message_for(outcome, reasoning=reasoning)
    return Response(shown.model_dump_json(), headers=headers, media_type="application/json")


def _seq(thread_id: str, message_id: str | None, field: str) -> int | None:
    if message_id is None:
        return None
    seq = message_seq(thread_id, message_id)
    if seq is None:
        raise InvalidCursor(field)
    return seq
