"""For simple callers: ask and get the answer; ask many questions; ask and read the answer as it comes.

All are turns of a thread like any other, which is made where the caller names none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api import sse
from api.deps import OwnerDep, Services, ServicesDep
from api.json_route import JsonRoute
from api.messages import TURN_ERRORS
from api.problems import http_error_responses, problem_response, request_id
from api.schemas import BatchAnswers, BatchResult, Invocation, InvocationAnswer, Questions
from api.streaming import SILENCE_SECONDS, Batches, flowing_response
from errors import ChatError, ThreadNotFound
from records import Message, NewMessage, Owner, Problem, new_id
from turn_log import TurnLog

AT_ONCE = 5
BODY_ERRORS = http_error_responses(413, 415)
router = APIRouter(prefix="/api", tags=["simple"], route_class=JsonRoute)


@dataclass(frozen=True, slots=True)
class Asker:
    """Starts turns for one request."""

    services: Services
    owner: Owner
    request_id: str | None

    async def thread(self, thread_id: str | None) -> str:
        """Return the id of the caller's thread, or of a new one."""
        return thread_id or (await self.services.store.create_thread(self.owner, title=None, metadata={})).id

    async def start(self, thread_id: str, content: str, *, stream: bool = False) -> TurnLog:
        """Start a turn."""
        new = NewMessage(new_id("turn"), content, {})
        return await self.services.turns.start(self.owner, thread_id, new, stream=stream, request_id=self.request_id)

    async def ask(self, thread_id: str | None, content: str) -> BatchResult:
        """Return how a question was answered; never raises what the caller should read in the result."""
        id = thread_id
        try:
            id = await self.thread(thread_id)
            outcome = await (await self.start(id, content)).outcome()
        except ChatError as error:
            outcome = Problem.of(error, self.request_id)
        if isinstance(outcome, Problem):
            return BatchResult(thread_id=id, problem=outcome)
        return BatchResult(thread_id=id, message_id=outcome.id, tool_calls=outcome.tool_calls, final_answer=outcome.content)


@router.post("/invoke", summary="Ask, and get the answer", response_model=InvocationAnswer, responses={**BODY_ERRORS, **TURN_ERRORS})
async def invoke(body: Invocation, request: Request, services: ServicesDep, owner: OwnerDep) -> Response:
    """Answer one question, in the given thread or a new one."""
    asker = Asker(services, owner, request_id(request))
    thread_id = await asker.thread(body.thread_id)
    outcome = await (await asker.start(thread_id, body.user_input)).outcome()
    if isinstance(outcome, Problem):
        return problem_response(outcome)
    answer = InvocationAnswer(
        final_answer=outcome.content, thread_id=thread_id, message_id=outcome.id, tool_calls=outcome.tool_calls
    )
    return Response(answer.model_dump_json(), media_type="application/json")
