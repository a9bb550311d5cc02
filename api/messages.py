"""Messages: send one and get the agent's answer; read the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import JsonValue

from api.client_tools import ClientTool
from api.deps import OwnerDep, ServicesDep, ThreadId
from api.examples import MESSAGE_EXAMPLE
from api.json_route import JsonRoute
from api.problems import BODY_ERRORS, error_responses
from api.reasoning import WithReasoning, message_for
from api.schemas import MessageCreate, MessageList
from api.turn_errors import TURN_ERRORS
from api.turn_response import TURN_RESPONSES, IdempotencyKey, ResponderDep
from errors import IdempotencyKeyReused, InvalidRequest, MessageNotFound, NotAcceptable, StoreUnavailable, ThreadNotFound
from models import Message, Order, message_seq, new_id
from services.services import Services
from stores.types import NewMessage
from turns.waiting import Wait

router = APIRouter(prefix="/api/threads/{thread_id}/messages", tags=["messages"], route_class=JsonRoute)


@router.post(
    "",
    summary="Send a message",
    response_model=Message,
    responses={
        **TURN_RESPONSES,
        **BODY_ERRORS,
        **error_responses(NotAcceptable, IdempotencyKeyReused, *TURN_ERRORS),
    },
)
async def send_message(
    thread_id: ThreadId,
    body: MessageCreate,
    services: ServicesDep,
    owner: OwnerDep,
    responder: ResponderDep,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store the user's message, let the agent answer it, and return the assistant's message.

    With `Accept: text/event-stream` or `application/x-ndjson` the turn's events are streamed as they happen; they end with
    `message.completed`, `turn.paused`, `turn.failed` or `turn.cancelled`; one that breaks off is taken up at the turn's events.
    The message is kept from the moment it is accepted, even if the turn fails; the turn goes on if the caller leaves.

    A message with `status: paused` has `open` tool calls: decide about them with `POST …/turns/{turn_id}/continue`. `tools` are
    the caller's own: the model may call them, and the caller runs them.

    Where the thread is busy, `Prefer: wait=N` waits for it, and `"interrupt": true` cancels the turn that runs and takes its
    place.
    """
    tools = await own_tools(body.tools, services)
    new = NewMessage(new_id("turn"), body.content, body.metadata, idempotency_key, tools)
    log, waited = await services.turns.start_when_free(
        owner,
        thread_id,
        new,
        Wait(responder.wait_seconds, body.interrupt, responder.has_left),
        stream=responder.stream,
        request_id=responder.request_id,
        locale=responder.locale,
    )
    return await responder.respond(log, has_waited=waited > 0)


@router.get(
    "",
    summary="Read the history",
    responses={
        200: {"content": {"application/json": {"example": {"messages": [MESSAGE_EXAMPLE], "next_cursor": None}}}},
        **error_responses(ThreadNotFound, MessageNotFound, InvalidRequest, StoreUnavailable),
    },
)
async def list_messages(
    thread_id: ThreadId,
    services: ServicesDep,
    owner: OwnerDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(description="A message's id: only later messages.")] = None,
    before: Annotated[str | None, Query(description="A message's id: only earlier ones.")] = None,
    order: Annotated[Order, Query(description="`asc`: oldest first; `desc`: newest first.")] = "asc",
    reasoning: WithReasoning = False,
) -> MessageList:
    """List a thread's messages, one page at a time."""
    for message_id in (after, before):
        if message_id is not None and message_seq(thread_id, message_id) is None:
            await services.store.get_thread(owner, thread_id)
            raise MessageNotFound(message_id)
    page = await services.store.list_messages(
        owner, thread_id, limit=limit, after=_seq(thread_id, after), before=_seq(thread_id, before), order=order
    )
    messages = [message_for(message, reasoning=reasoning) for message in page.items]
    return MessageList(messages=messages, next_cursor=page.next_cursor)


async def own_tools(tools: Sequence[ClientTool], services: Services) -> list[dict[str, JsonValue]]:
    """Return the caller's own tools as they are kept.

    :raises InvalidRequest: if one is called as one of the agent's.
    """
    if not tools:
        return []
    known = await services.tools()
    if taken := [number for number, tool in enumerate(tools) if tool.name in known]:
        raise InvalidRequest([(f"body.tools.{number}.name", "is the name of one of the agent's tools") for number in taken])
    return [tool.model_dump() for tool in tools]


def _seq(thread_id: str, message_id: str | None) -> int | None:
    return None if message_id is None else message_seq(thread_id, message_id)
