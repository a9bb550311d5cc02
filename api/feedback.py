"""Feedback on answers: give it, take it back."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import MessageId, OwnerDep, ServicesDep, ThreadId
from api.examples import RATED_EXAMPLE
from api.json_route import JsonRoute
from api.problems import BODY_ERRORS, error_responses
from api.schemas import FeedbackUpdate
from errors import InvalidRequest, MessageNotFound, NotAnAnswer, StoreUnavailable, ThreadNotFound
from models import Message
from turns.feedback import give_feedback, withdraw_feedback

router = APIRouter(prefix="/api/threads/{thread_id}/messages/{message_id}/feedback", tags=["messages"], route_class=JsonRoute)
ERRORS = error_responses(ThreadNotFound, MessageNotFound, NotAnAnswer, InvalidRequest, StoreUnavailable)


@router.put(
    "",
    summary="Rate an answer",
    responses={
        200: {"content": {"application/json": {"example": RATED_EXAMPLE}}},
        **BODY_ERRORS,
        **ERRORS,
    },
)
async def put_feedback(
    thread_id: ThreadId, message_id: MessageId, body: FeedbackUpdate, services: ServicesDep, owner: OwnerDep
) -> Message:
    """Say whether an answer of the assistant was good, and why; it replaces what was said before. Returns the message."""
    rated = await give_feedback(services.store, owner, thread_id, message_id, body.rating, body.comment)
    return rated.without_reasoning()


@router.delete("", status_code=204, summary="Take a rating back", responses=ERRORS)
async def delete_feedback(thread_id: ThreadId, message_id: MessageId, services: ServicesDep, owner: OwnerDep) -> None:
    """Take back what was said about an answer, if anything was."""
    await withdraw_feedback(services.store, owner, thread_id, message_id)
