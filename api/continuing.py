"""Going on with a paused turn, and the tools that need not ask any more in a thread."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from api.client_tools import TurnContinue
from api.deps import OwnerDep, ServicesDep, ThreadId
from api.json_route import JsonRoute
from api.problems import BODY_ERRORS, error_responses
from api.schemas import ApprovalList
from api.turn_errors import TURN_ERRORS
from api.turn_response import TURN_RESPONSES, IdempotencyKey, ResponderDep
from api.turns import TurnId
from errors import (
    ApprovalExpired,
    IdempotencyKeyReused,
    InvalidRequest,
    NotAcceptable,
    StoreUnavailable,
    ThreadNotFound,
    TurnContinued,
    TurnEnded,
    TurnNotFound,
)
from models import Message, Owner
from services.services import Services
from turns.service import After

logger = logging.getLogger(__name__)
APPROVALS_EXAMPLE: dict[str, Any] = {"approvals": [{"tool": "send_refund", "created_at": "2026-01-01T10:30:05Z"}]}
router = APIRouter(prefix="/api/threads/{thread_id}", tags=["approvals"], route_class=JsonRoute)


@router.post(
    "/turns/{turn_id}/continue",
    summary="Go on with a paused turn",
    response_model=Message,
    responses={
        **TURN_RESPONSES,
        **BODY_ERRORS,
        **error_responses(
            NotAcceptable, IdempotencyKeyReused, TurnNotFound, TurnEnded, TurnContinued, ApprovalExpired, *TURN_ERRORS
        ),
    },
)
async def continue_turn(
    thread_id: ThreadId,
    turn_id: TurnId,
    body: TurnContinue,
    services: ServicesDep,
    owner: OwnerDep,
    responder: ResponderDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Decide about all open calls of a paused turn, and let a new turn go on with it, which answers like a message.

    Approved tools run first, each once, whatever happens; the model is told of what was refused. Of two requests one is first.
    """
    log = await services.turns.go_on(
        owner,
        thread_id,
        turn_id,
        body.decisions,
        decided_by=owner.user,
        idempotency_key=idempotency_key,
        stream=responder.stream,
        request_id=responder.request_id,
        locale=responder.locale,
        after=_delivery_to_chat(services, owner, responder.request_id),
    )
    return await responder.respond(log)


def _delivery_to_chat(services: Services, owner: Owner, request_id: str) -> After | None:
    """Return what delivers a reply to the chat that has its thread, too, where there is a bot."""
    if services.bot is None:
        return None
    bot = services.bot

    async def deliver(reply: Message) -> None:
        try:
            await (await bot.get()).deliver(owner, reply, request_id)
        except Exception:
            logger.exception("failed to deliver a reply to the chat that has its thread")

    return deliver


@router.get(
    "/approvals",
    summary="Tools that need not ask",
    responses={
        200: {"content": {"application/json": {"example": APPROVALS_EXAMPLE}}},
        **error_responses(ThreadNotFound, InvalidRequest, StoreUnavailable),
    },
)
async def list_approvals(thread_id: ThreadId, services: ServicesDep, owner: OwnerDep) -> ApprovalList:
    """List the tools that were approved for the rest of the thread (`remember: "thread"`)."""
    return ApprovalList(approvals=await services.store.list_approvals(owner, thread_id))


@router.delete(
    "/approvals",
    status_code=204,
    summary="Let tools ask again",
    responses=error_responses(ThreadNotFound, InvalidRequest, StoreUnavailable),
)
async def remove_approvals(thread_id: ThreadId, services: ServicesDep, owner: OwnerDep) -> None:
    """Take back what was approved for the rest of the thread: every tool asks again, from the next turn on."""
    await services.store.remove_approvals(owner, thread_id)
