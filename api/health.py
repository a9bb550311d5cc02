"""Health as the app answers it, before there is an app: importing and opening one takes most of a cold start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware import RequestMiddleware
from errors import NotReady
from services.lazy import LazyResource

if TYPE_CHECKING:
    from services.services import Services

HEALTH_PATH = "/api/health"
BODY = b'{"status":"ok"}'
HEADERS = [(b"content-length", b"%d" % len(BODY)), (b"content-type", b"application/json")]
# An app that is open, and what each of its requests finds as its state.
OpenApp = tuple[ASGIApp, Mapping[str, Any]]


class EarlyHealth:
    """Answers health while an app is imported and opened in the background; all other requests wait for the app.

    ``load`` runs in a thread and returns what opens the app.
    """

    def __init__(self, load: Callable[[], AbstractAsyncContextManager[OpenApp]]) -> None:
        self._load = load
        self._answer_health = RequestMiddleware(_answer_health, https_only=False)
        self._refuse = RequestMiddleware(_refuse, https_only=False)
        self._app: LazyResource[OpenApp]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif not self._app.is_open and _asks_for_health(scope):
            await self._answer_health(scope, receive, send)
        else:
            try:
                app, state = await self._app.get()
            except Exception:  # noqa: BLE001 - it is logged where it has failed
                await self._refuse(scope, receive, send)
            else:
                await app({**scope, "state": dict(state)}, receive, send)

    async def services(self) -> Services:
        """Return the app's services as soon as it is open; raises what opening it raised."""
        _, state = await self._app.get()
        services: Services = state["services"]
        return services

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._app = LazyResource("app", self._load)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._app.aclose()
        await send({"type": "lifespan.shutdown.complete"})


def _asks_for_health(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["path"] != HEALTH_PATH or scope["method"] != "GET":
        return False
    # Which origins may read the answer is the app's to say.
    return all(name != b"origin" for name, _ in scope["headers"])


async def _answer_health(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI app's arguments
    await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
    await send({"type": "http.response.body", "body": BODY})


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    from api.problems import error_response

    await error_response(NotReady(), scope["request_id"])(scope, receive, send)
