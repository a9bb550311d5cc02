"""How a turn is answered, whatever it is started with: as JSON, as a stream of its events, or at once with the turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import Response
from pydantic import WithJsonSchema

from api import ndjson, sse
from api.content_negotiation import AcceptHeader, negotiate, preferred_languages, wait_seconds, wants_async
from api.deps import OwnerDep, ServicesDep, StreamPlaceDep
from api.examples import MESSAGE_EXAMPLE, TURN_EXAMPLE
from api.problems import problem_response, request_id
from api.reasoning import WithReasoning, batches_for, message_for, turn_for
from api.streaming import events_response, stream_content
from models import Owner, Problem
from services.services import Services
from turns.event_log import EventLog

FORMATS = ("application/json", sse.MEDIA_TYPE, ndjson.MEDIA_TYPE)
REPLAYED_HEADER = {
    "Idempotent-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "The Idempotency-Key was used before: this is the answer of that turn.",
    }
}
ASYNC_HEADERS = {
    "Location": {"schema": {"type": "string"}, "description": "The turn's address."},
    "Preference-Applied": {"schema": {"type": "string"}, "description": "What was done of `Prefer`."},
}
TURN_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/json": {"example": MESSAGE_EXAMPLE}, **stream_content(sse.MEDIA_TYPE, ndjson.MEDIA_TYPE)},
        "headers": REPLAYED_HEADER,
    },
    202: {
        "description": "The turn runs in the background (`Prefer: respond-async`).",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Turn"}, "example": TURN_EXAMPLE}},
        "headers": ASYNC_HEADERS | REPLAYED_HEADER,
    },
}
# Several lines of a list are one text to clients; what we do not know of it is left alone (RFC 7240, section 2).
PreferHeader = Annotated[
    Annotated[list[str], WithJsonSchema({"type": "string"})] | None,
    Header(
        description="`respond-async`: answer at once with the turn. `wait=N`: where the thread is busy, wait up to N seconds "
        "for it (at most 60) in place of 409; messages only."
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Send the same key with every retry of a message: it is stored once and answered once.",
    ),
]


@dataclass(frozen=True, slots=True)
class TurnResponder:
    """Answers one request that starts a turn, as its caller wants it."""

    services: Services
    owner: Owner
    request_id: str
    locale: str | None
    media_type: str
    respond_async: bool
    reasoning: bool
    wait_seconds: int
    has_left: Callable[[], Awaitable[bool]]

    @property
    def stream(self) -> bool:
        """Whether the turn's events are to be stored, and its text is to come as it is written."""
        return self.respond_async or self.media_type != "application/json"

    async def respond(self, log: EventLog, *, has_waited: bool = False) -> Response:
        """Return the answer to a turn that has begun."""
        applied = ["respond-async"] if self.respond_async else []
        applied += [f"wait={self.wait_seconds}"] if self.wait_seconds and has_waited else []
        headers = {"Preference-Applied": ", ".join(applied)} if applied else {}
        headers |= {"Idempotent-Replayed": "true"} if log.replayed else {}
        if self.respond_async:
            return await self._at_once(log, headers)
        if self.media_type != "application/json":
            heartbeat = self.services.intervals.heartbeat
            events = log.stream(heartbeat_interval=heartbeat)
            batches = batches_for(events, reasoning=self.reasoning, heartbeat_interval=heartbeat)
            return events_response(batches, self.media_type, headers)
        outcome = await log.wait()
        if isinstance(outcome, Problem):
            return problem_response(outcome)
        shown = message_for(outcome, reasoning=self.reasoning)
        return Response(shown.model_dump_json(), headers=headers, media_type="application/json")

    async def _at_once(self, log: EventLog, headers: dict[str, str]) -> Response:
        turn = turn_for(await self.services.turns.get(self.owner, log.thread_id, log.id), reasoning=self.reasoning)
        location = f"/api/threads/{log.thread_id}/turns/{log.id}"
        return Response(turn.model_dump_json(), 202, {"Location": location, **headers}, "application/json")


async def get_responder(
    request: Request,
    services: ServicesDep,
    owner: OwnerDep,
    place: StreamPlaceDep,
    reasoning: WithReasoning = False,
    accept: AcceptHeader = None,
    prefer: PreferHeader = None,
) -> TurnResponder:
    """Find out how the caller wants the answer, and take a place among their streams if it is one."""
    media_type = negotiate(accept, FORMATS)
    respond_async = wants_async(prefer)
    if not respond_async and media_type != "application/json":
        await place.take()
    languages = preferred_languages(request.headers.get("accept-language"))
    locale = languages[0] if languages else None
    return TurnResponder(
        services,
        owner,
        request_id(request),
        locale,
        media_type,
        respond_async,
        reasoning,
        wait_seconds(prefer),
        request.is_disconnected,
    )


ResponderDep = Annotated[TurnResponder, Depends(get_responder)]
