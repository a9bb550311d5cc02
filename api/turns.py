"""Turns: how one stands, its events again or live, and cancelling it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import Response

from api import ndjson, sse
from api.content_negotiation import AcceptHeader, negotiate
from api.deps import OwnerDep, ServicesDep, StreamPlaceDep, ThreadId
from api.examples import MESSAGE_EXAMPLE, TURN_EXAMPLE
from api.problems import error_responses
from api.reasoning import WithReasoning, batches_for, turn_for
from api.secured_route import SecuredRoute
from api.streaming import events_response, stream_content
from errors import InvalidRequest, NotAcceptable, StoreUnavailable, ThreadNotFound, TurnEnded, TurnNotFound
from models import Turn

MAX_EVENT_ID = 999_999_999
FORMATS = (sse.MEDIA_TYPE, ndjson.MEDIA_TYPE)
TurnId = Annotated[str, Path(examples=["turn_8d0b7c5e4f3a4c2d9e1f0a6b5c4d3e2f"])]
router = APIRouter(prefix="/api/threads/{thread_id}/turns/{turn_id}", tags=["turns"], route_class=SecuredRoute)


@router.get(
    "",
    summary="Read a turn",
    responses={
        200: {
            "content": {
                "application/json": {
                    "example": TURN_EXAMPLE
                    | {"status": "completed", "message": MESSAGE_EXAMPLE, "ended_at": "2026-01-01T10:30:05Z"}
                }
            }
        },
        **error_responses(ThreadNotFound, TurnNotFound, InvalidRequest, StoreUnavailable),
    },
)
async def get_turn(
    thread_id: ThreadId, turn_id: TurnId, services: ServicesDep, owner: OwnerDep, reasoning: WithReasoning = False
) -> Turn:
    """Return how a turn stands: `running`, or how it ended, with the answer or the problem."""
    return turn_for(await services.turns.get(owner, thread_id, turn_id), reasoning=reasoning)


@router.get(
    "/events",
    summary="Follow a turn",
    response_class=Response,
    responses={
        200: {"content": stream_content(*FORMATS)},
        204: {"description": "The turn has ended, and its last event is not behind the given one."},
        **error_responses(NotAcceptable, ThreadNotFound, TurnNotFound, InvalidRequest, StoreUnavailable),
    },
)
async def follow_turn(
    thread_id: ThreadId,
    turn_id: TurnId,
    services: ServicesDep,
    owner: OwnerDep,
    place: StreamPlaceDep,
    accept: AcceptHeader = None,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=MAX_EVENT_ID, description="The last event that was received; goes before `after`.")
    ] = None,
    after: Annotated[int, Query(ge=0, le=MAX_EVENT_ID, description="An event's id: only later events.")] = 0,
    reasoning: WithReasoning = False,
) -> Response:
    """Stream a turn's events behind a given one, live to its end, whichever process runs it.

    A turn's events are kept for about an hour; its last event is there as long as the thread.
    """
    media_type = negotiate(accept, FORMATS)
    position = after if last_event_id is None else last_event_id
    await place.take()
    heartbeat = services.intervals.heartbeat
    batches = await services.turns.follow(owner, thread_id, turn_id, after=position, heartbeat_interval=heartbeat)
    if batches is None:
        # What ends a browser's EventSource, which would ask again and again.
        return Response(status_code=204)
    return events_response(batches_for(batches, reasoning=reasoning, heartbeat_interval=heartbeat), media_type)


@router.post(
    "/cancel",
    status_code=202,
    summary="Cancel a turn",
    responses={
        202: {"content": {"application/json": {"example": TURN_EXAMPLE}}},
        **error_responses(ThreadNotFound, TurnNotFound, TurnEnded, InvalidRequest, StoreUnavailable),
    },
)
async def cancel_turn(thread_id: ThreadId, turn_id: TurnId, services: ServicesDep, owner: OwnerDep) -> Turn:
    """Stop a turn within two seconds, whichever process runs it. What it has said so far is kept as a `cancelled` message."""
    await services.turns.cancel(owner, thread_id, turn_id)
    return turn_for(await services.turns.get(owner, thread_id, turn_id), reasoning=False)
