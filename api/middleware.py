"""What happens to every request, whatever its route: an id, and an answer even when the code fails."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import ChatError, InternalError, InvalidRequest, TurnInterrupted
from observability import log_context

VISIBLE_ASCII = re.compile(rb"[\t\x20-\x7e]*")
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# For what has no headers of its own, such as the pages' policies: an answer of the API is data, for this caller only.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HTTPS_HEADERS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
logger = logging.getLogger(__name__)


class RequestMiddleware:
    """Gives each response the request's id in ``X-Request-ID`` and security headers, and makes an unexpected error a fixed 500.

    The caller's own id is taken if it is at most 128 letters, digits and ``._:-``. An error after the response has begun
    can only cut the response off. In ``dev_mode`` the 500 tells the error.
    """

    def __init__(self, app: ASGIApp, *, https_only: bool, dev_mode: bool = False) -> None:
        self._app = app
        self._dev_mode = dev_mode
        self._headers = {**SECURITY_HEADERS, **(HTTPS_HEADERS if https_only else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if VALID_REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        scope["request_id"] = request_id
        log_context.bind(request_id=request_id)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers.update(scope.get("quota_headers", {}))
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        if refused := _not_ascii(scope):
            await _problem(InvalidRequest(refused), request_id)(scope, receive, send_with_id)
            return
        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # The server stops and waits no longer: its own answer would be a 500 that says nothing.
            if not started:
                await _problem(TurnInterrupted("The service is stopping."), request_id)(scope, receive, send_with_id)
            raise
        except Exception as error:
            logger.exception("request failed unexpectedly")
            if started:
                raise
            cause = error if self._dev_mode else None
            await _problem(InternalError(), request_id, cause=cause)(scope, receive, send_with_id)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app start and stop. What failed is logged by its type: the server would log the exception's text."""

        async def send_without_text(message: Message) -> None:
            if message["type"].endswith(".failed"):
                logger.error("the app failed to start or to stop", exc_info=True)
                message = {**message, "message": ""}
            await send(message)

        await self._app(scope, receive, send_without_text)


def _problem(error: ChatError, request_id: str, cause: BaseException | None = None) -> ASGIApp:
    # Not before there is one: health is answered before the framework is imported.
    from api.problems import error_response

    return error_response(error, request_id, cause=cause)


def _not_ascii(scope: Scope) -> list[tuple[str, str]]:
    """Return what is wrong with the headers whose values are not visible ASCII.

    The Functions host does not forward such a request, and what encodes them before it would make another user of
    ``X-User-Id: José`` there than here. A cookie is somebody else's: this API reads none.
    """
    return [
        (f"header.{name.decode('latin-1')}", "must be visible ASCII characters: percent-encode others")
        for name, value in scope["headers"]
        if name != b"cookie" and not VISIBLE_ASCII.fullmatch(value)
    ]
