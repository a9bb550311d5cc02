"""What is made once per process: opened here, closed in the opposite order, and handed to HTTP, the timer and the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from data_rights.eraser import Eraser
from data_rights.retention import HourlyRetention, Retention
from identity.authenticator import Identity, open_identity
from identity.azure_credential import AzureCredential
from observability import owner_hash
from observability.setup import open_telemetry
from quotas.backend import QuotaBackend, open_quota_backend
from quotas.quotas import Quotas
from quotas.redis_client import open_redis
from services.intervals import Intervals
from services.lazy import LazyResource
from services.open_store import open_store
from services.readiness import Readiness, ReadinessCheck
from settings import Assistant, Settings
from stores.contract import ThreadStore
from turns.service import Turns

if TYPE_CHECKING:
    from agent.agent import ChatAgent
    from teams.bot import Bot
    from teams.clock import Clock
    from tools.tool import ToolSpec


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the process. ``bot`` is ``None`` where none is configured; ``tools`` waits for the agent."""

    settings: Settings
    assistant: Assistant
    intervals: Intervals
    identity: Identity
    quotas: Quotas
    store: ThreadStore
    turns: Turns
    eraser: Eraser
    retention: Retention
    readiness: Readiness
    bot: LazyResource[Bot] | None
    tools: Callable[[], Awaitable[Mapping[str, ToolSpec]]]


@asynccontextmanager
async def open_services(
    settings: Settings,
    assistant: Assistant,
    intervals: Intervals = Intervals(),  # noqa: B008 - immutable
) -> AsyncIterator[Services]:
    """Open all services; imports, which take most of it, are made in threads, so that health is answered meanwhile.

    The agent is opened beside the store. It and the bot are still being opened when this returns.

    :raises StoreError: as the store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        owner_hash.use_key(settings)
        await stack.enter_async_context(open_telemetry(settings))
        credential = await stack.enter_async_context(AzureCredential())
        agent = await stack.enter_async_context(
            aclosing(LazyResource("agent", partial(_load_agent, settings, assistant, credential)))
        )
        identity = await stack.enter_async_context(open_identity(settings))
        counters = await stack.enter_async_context(open_quota_backend(settings, credential))
        quotas = Quotas(settings, counters)
        # Of its own: whoever waits for messages must not hold up the counters.
        redis = await stack.enter_async_context(open_redis(settings, credential)) if settings.cosmos_endpoint else None
        store = await stack.enter_async_context(await asyncio.to_thread(open_store, settings, credential, redis))
        eraser = await stack.enter_async_context(Eraser(store, forget=(quotas.forget,)))
        retention = Retention(store, settings.retention_days, bot_days=settings.bot_retention_days)
        if (settings.retention_days or settings.bot_retention_days) and not settings.website_site_name:
            # On Azure a timer calls it: see function_app.py.
            await stack.enter_async_context(HourlyRetention(retention))
        readiness = await stack.enter_async_context(aclosing(_readiness(settings, intervals, store, agent, counters)))
        turns = Turns(store, agent.get, quotas, settings, intervals.turns)
        tools = _tools_of(agent)
        load_bot = partial(_load_bot, settings, assistant, credential, store, turns, quotas, eraser, tools, intervals.bot_clock)
        bot = LazyResource("bot", load_bot) if settings.has_bot else None
        try:
            yield Services(
                settings, assistant, intervals, identity, quotas, store, turns, eraser, retention, readiness, bot, tools
            )
        finally:
            await turns.close(grace_seconds=intervals.grace)
            if bot:
                # After the turns: how they ended is still to be told.
                await bot.aclose()


def _load_agent(
    settings: Settings, assistant: Assistant, credential: AzureCredential
) -> AbstractAsyncContextManager[ChatAgent]:
    from agent.agent import open_agent
    from tools.environment import ToolEnvironment
    from tools.registry import open_tools

    @asynccontextmanager
    async def opening() -> AsyncIterator[ChatAgent]:
        async with (
            open_tools(ToolEnvironment(settings, assistant)) as tools,
            open_agent(settings, assistant, tools, credential) as agent,
        ):
            yield agent

    return opening()


def _tools_of(agent: LazyResource[ChatAgent]) -> Callable[[], Awaitable[Mapping[str, ToolSpec]]]:
    async def tools() -> Mapping[str, ToolSpec]:
        return (await agent.get()).tools

    return tools


def _load_bot(
    settings: Settings,
    assistant: Assistant,
    credential: AzureCredential,
    store: ThreadStore,
    turns: Turns,
    quotas: Quotas,
    eraser: Eraser,
    tools: Callable[[], Awaitable[Mapping[str, ToolSpec]]],
    clock: Clock | None,
) -> AbstractAsyncContextManager[Bot]:
    from teams.bot import open_bot

    return open_bot(settings, assistant, credential, store, turns, quotas, eraser.begin, tools, clock)


def _readiness(
    settings: Settings, intervals: Intervals, store: ThreadStore, agent: LazyResource[ChatAgent], counters: QuotaBackend
) -> Readiness:
    async def ping_model() -> None:
        await (await agent.get()).ping()

    checks = [
        ReadinessCheck("store", store.ping, seconds=intervals.ready_fresh),
        ReadinessCheck("model", ping_model, seconds=intervals.model_fresh),
    ]
    if settings.redis_url:
        checks.append(ReadinessCheck("limits", counters.ping, seconds=intervals.ready_fresh))
    return Readiness(checks, wait_seconds=intervals.ready_wait)
