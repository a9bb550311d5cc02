"""Where Bot Service sends its activities: Teams, Web Chat, and every other channel."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.client import has_foreign_origin, is_from_this_machine
from api.deps import ServicesDep
from api.json_route import JsonRequest, require_json
from api.problems import request_id
from api.secured_route import record_failed_sign_in
from errors import InvalidActivity, Unauthenticated
from settings import Settings

LOCAL_ONLY = "With TEAMS_LOCAL the bot serves this machine only: not through a proxy, and not to pages of other sites."
router = APIRouter(prefix="/api", tags=["bot"])


# Not described to API callers: nobody but Bot Service may call it, by its own protocol.
@router.post("/messages", include_in_schema=False)
async def receive_activity(request: Request, services: ServicesDep) -> Response:
    """Take an activity in and answer 202; invokes, and senders that wait for the replies, get their answer.

    There is nothing here while no bot is configured. Bot Service shows its token; on this machine with `TEAMS_LOCAL` there are
    none, and only this machine is served.
    """
    if services.bot is None:
        raise HTTPException(404)
    try:
        if services.settings.teams_local:
            _check_is_local(request, services.settings)
        bot = await services.bot.get()
        origin = await bot.authenticate(request.headers.get("authorization"))
    except Unauthenticated as error:
        if "authorization" in request.headers:
            await record_failed_sign_in(request, services, error)
        raise
    require_json(request)
    try:
        body = await JsonRequest(request.scope, request.receive).json()
    except json.JSONDecodeError as error:
        raise InvalidActivity("not JSON") from error
    receipt = await bot.receive(body, origin, request_id(request))
    if receipt.body is None:
        return Response(status_code=receipt.status)
    return Response(json.dumps(receipt.body), receipt.status, media_type="application/json")


def _check_is_local(request: Request, settings: Settings) -> None:
    """Refuse what was not made on this machine, by a program or a page of its own.

    :raises Unauthenticated: if it was made elsewhere.
    """
    if not is_from_this_machine(request, settings) or has_foreign_origin(request):
        raise Unauthenticated("an activity for the local bot, not from this machine", LOCAL_ONLY)
