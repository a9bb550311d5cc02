"""The app: routes, errors, and what starts and stops with the process."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypedDict

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from api import activities as bot_routes
from api import data_rights, docs, feedback, invoke, messages, page, system, threads, turns
from api.deps import Services
from api.middleware import RequestMiddleware
from api.openapi import install_openapi
from api.problems import install_error_handlers
from api.request_log import RECORD_NOTHING, ObserveMiddleware
from data_rights.eraser import Eraser
from data_rights.retention import HourlyRetention, Retention
from identity.authenticator import open_identity
from observability import safe_logging
from observability.setup import open_telemetry
from quotas.backend import QuotaBackend, open_quota_backend
from quotas.quotas import Quotas
from services.lazy import Background
from services.readiness import MODEL_FRESH_SECONDS, Part, Readiness
from settings import Settings
from stores.contract import ThreadStore
from stores.open import open_store
from turns.service import Turns

if TYPE_CHECKING:
    from agent.agent import ChatAgent
    from teams.bot import Bot

GRACE_SECONDS = 10.0
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
    invoke.router,
    data_rights.router,
    system.router,
    system.secured_router,
    docs.router,
    page.router,
    bot_routes.router,
)


class State(TypedDict):
    """What the lifespan hands to every request."""

    services: Services


def create_app(settings: Settings) -> FastAPI:
    """Make the ASGI app. Nothing is opened before its lifespan starts."""
    safe_logging.install()
    app = FastAPI(
        title="Agent chat API",
        version="0.1.0",
        lifespan=_lifespan(settings),
        middleware=_middleware(settings),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=RECORD_NOTHING,
    )
    for router in ROUTERS:
        app.include_router(router)
    install_error_handlers(app)
    install_openapi(app)
    return app


def _middleware(settings: Settings) -> list[Middleware]:
    middleware = [
        Middleware(ObserveMiddleware),
        Middleware(RequestMiddleware, https_only=settings.website_site_name is not None),
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


def _load_agent(settings: Settings) -> AbstractAsyncContextManager[ChatAgent]:
    agent, tools = importlib.import_module("agent.agent"), importlib.import_module("tools")

    @asynccontextmanager
    async def opening() -> AsyncIterator[ChatAgent]:
        async with tools.open_tools(settings) as functions, agent.open_agent(settings, functions) as chat_agent:
            yield chat_agent

    return opening()


def _load_bot(settings: Settings, store: ThreadStore, turns: Turns) -> AbstractAsyncContextManager[Bot]:
    opening: AbstractAsyncContextManager[Bot] = importlib.import_module("teams.bot").open_bot(settings, store, turns)
    return opening


def _readiness(settings: Settings, store: ThreadStore, agent: Background[ChatAgent], counters: QuotaBackend) -> Readiness:
    async def ask_model() -> None:
        await (await agent.get()).ping()

    parts = [Part("store", store.ping), Part("model", ask_model, seconds=MODEL_FRESH_SECONDS)]
    return Readiness([*parts, Part("limits", counters.ping)] if settings.redis_url else parts)


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(open_telemetry(settings))
            identity = await stack.enter_async_context(open_identity(settings))
            counters = await stack.enter_async_context(open_quota_backend(settings))
            quotas = Quotas(settings, counters)
            store = await stack.enter_async_context(open_store(settings))
            agent = await stack.enter_async_context(aclosing(Background("agent", partial(_load_agent, settings))))
            eraser = await stack.enter_async_context(Eraser(store, forget=(quotas.forget,)))
            retention = Retention(store, settings.retention_days)
            if settings.retention_days and not settings.website_site_name:
                # On Azure a timer calls it: see function_app.py.
                await stack.enter_async_context(HourlyRetention(retention))
            readiness = await stack.enter_async_context(aclosing(_readiness(settings, store, agent, counters)))
            running = Turns(store, agent.get, quotas, settings)
            bot = Background("bot", partial(_load_bot, settings, store, running)) if settings.has_bot else None
            try:
                services = Services(settings, identity, quotas, store, running, eraser, retention, readiness, bot)
                yield {"services": services}
            finally:
                await running.close(grace_seconds=GRACE_SECONDS)
                if bot:
                    # After the turns: how they ended is still to be told.
                    await bot.aclose()

    return lifespan
