"""Routes that only who is signed in may call: the credentials are checked before anything else of the request is read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from api.client import client_address, is_from_this_machine
from api.problems import request_id
from api.request_log import bind_path_ids
from errors import ChatError, Forbidden, RateLimited, Unauthenticated
from identity.caller import Caller, Credentials
from observability import log_context
from observability.owner_hash import owner_hash
from quotas.quotas import MINUTE, RequestLimitExceeded, Window
from services.services import Services

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
logger = logging.getLogger(__name__)


class SecuredRoute(APIRoute):
    """A route whose handler finds the caller in ``request.scope["caller"]``."""

    def get_route_handler(self) -> Handler:
        """Return the handler, with the check in front."""
        handle = self.body_handler(super().get_route_handler())

        async def handle_for_caller(request: Request) -> Response:
            bind_path_ids(request.path_params)
            caller = request.scope["caller"] = await authenticate(request)
            log_context.bind(owner_hash=owner_hash(caller.owner))
            await _count(request, caller)
            return await handle(request)

        return handle_for_caller

    def body_handler(self, handle: Handler) -> Handler:
        """Return the handler with what has to be checked of a body, once it is known who is calling."""
        return handle


async def _count(request: Request, caller: Caller) -> None:
    """Count a request against the caller's quotas; the response will tell what is left."""
    services: Services = request.state.services
    try:
        windows = await services.quotas.count_request(caller.owner)
    except RequestLimitExceeded as error:
        request.scope["quota_headers"] = quota_headers(error.windows)
        raise
    if windows:
        request.scope["quota_headers"] = quota_headers(windows)


def quota_headers(windows: Sequence[Window]) -> dict[str, str]:
    """Return the headers of https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/."""
    return {
        "RateLimit-Policy": ", ".join(f'"{each.scope}";q={each.limit};w={MINUTE}' for each in windows),
        "RateLimit": ", ".join(f'"{each.scope}";r={each.remaining};t={each.reset_seconds}' for each in windows),
    }


async def authenticate(request: Request) -> Caller:
    """Return the caller; a credential that is not valid is logged and counts against its address.

    :raises ChatError: if there is none.
    """
    services: Services = request.state.services
    headers = request.headers
    credentials = Credentials(
        api_key=headers.get("x-api-key"),
        user_id=headers.get("x-user-id"),
        authorization=headers.get("authorization"),
        from_this_machine=is_from_this_machine(request, services.settings),
    )
    try:
        caller = await services.identity.authenticate(credentials)
        if "chat" not in caller.scopes:
            raise Forbidden("chat")
    except (Unauthenticated, Forbidden) as error:
        if credentials.are_shown:
            await record_failed_sign_in(request, services, error)
        raise
    return caller


async def record_failed_sign_in(request: Request, services: Services, error: ChatError) -> None:
    """Log an attempt that failed, and count it against its address: one whose time is over was no attempt to get in.

    :raises RateLimited: if there were too many from there.
    """
    address = client_address(request, services.settings)
    was_valid = isinstance(error, Unauthenticated) and error.was_valid
    if not was_valid and not await services.quotas.allow_failed_attempt(address):
        raise RateLimited("failed sign-ins from this address", retry_after=60) from error
    reason = error.reason if isinstance(error, Unauthenticated) else error.detail
    logger.warning("sign-in refused: %s (address %s, request %s)", reason, address, request_id(request))
