"""The app: routes, errors, and what starts and stops with the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from api import activities as bot_routes
from api import batch, continuing, data_rights, docs, feedback, invoke, messages, page, system, threads, turns
from api.assistant_page import AssistantPage
from api.deps import State
from api.middleware import RequestMiddleware
from api.openapi import install_openapi, operation_id
from api.problems import install_error_handlers
from api.request_log import NO_TELEMETRY, RequestLogMiddleware
from api.version import VERSION
from observability import safe_logging
from services.intervals import Intervals
from services.services import open_services
from settings import Assistant, Settings, load_assistant

CORS_REQUEST_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Prefer",
    "X-API-Key",
    "X-Request-ID",
    "X-User-Id",
]
CORS_RESPONSE_HEADERS = [
    "Idempotent-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
]
ROUTERS = (
    threads.router,
    messages.router,
    feedback.router,
    turns.router,
    continuing.router,
    invoke.router,
    batch.router,
    data_rights.router,
    system.router,
    system.secured_router,
    docs.router,
    page.router,
    bot_routes.router,
)


def create_app(
    settings: Settings,
    intervals: Intervals = Intervals(),  # noqa: B008 - immutable
) -> FastAPI:
    """Make the ASGI app. Nothing is opened before its lifespan starts.

    :raises AssistantError: if the assistant's folder cannot be used.
    """
    safe_logging.install(exception_texts=settings.dev_mode)
    assistant = load_assistant(settings.assistant_dir)
    app = FastAPI(
        title=f"{assistant.name} API",
        version=VERSION,
        lifespan=_lifespan(settings, assistant, intervals),
        middleware=_middleware(settings),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
        generate_unique_id_function=operation_id,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.state.page = AssistantPage(assistant)
    install_error_handlers(app, dev_mode=settings.dev_mode)
    install_openapi(app)
    return app


def _middleware(settings: Settings) -> list[Middleware]:
    middleware = [
        Middleware(RequestLogMiddleware),
        Middleware(RequestMiddleware, https_only=settings.website_site_name is not None, dev_mode=settings.dev_mode),
    ]
    if settings.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["DELETE", "GET", "PATCH", "POST", "PUT"],
                allow_headers=CORS_REQUEST_HEADERS,
                expose_headers=CORS_RESPONSE_HEADERS,
                max_age=600,
            )
        )
    return middleware


def _lifespan(
    settings: Settings, assistant: Assistant, intervals: Intervals
) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with open_services(settings, assistant, intervals) as services:
            yield {"services": services}

    return lifespan
