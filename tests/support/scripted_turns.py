"""Turns of one process on the embedded store, with a scripted agent."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from agent.agent import ChatAgent
from agent.run import RunObserver
from events import TurnEvent, TurnFailed
from models import Message, Owner, Problem, Thread, new_id
from quotas.backend import Counters, QuotaBackend
from quotas.quotas import Quotas
from settings import Settings
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage
from tests.fakes.agent import Script, ScriptedAgent, say_hello
from turns.event_log import EventLog
from turns.intervals import TurnIntervals
from turns.service import Turns

OWNER = Owner("acme", "ann")


def turns_of(
    store: SqliteStore,
    agent: ScriptedAgent | ChatAgent,
    intervals: TurnIntervals = TurnIntervals(),  # noqa: B008 - immutable
    **settings: Any,
) -> Turns:
    async def get_agent() -> ChatAgent:
        return cast("ChatAgent", agent)

    configured = Settings(**settings)
    return Turns(store, get_agent, Quotas(configured, QuotaBackend(Counters.in_memory())), configured, intervals)


async def start(turns: Turns, thread: Thread, content: str = "hi", key: str | None = None) -> EventLog:
    return await turns.start(OWNER, thread.id, NewMessage(new_id("turn"), content, {}, key), stream=False, request_id="req_1")


def problem_of(events: list[TurnEvent]) -> Problem:
    final = events[-1]
    assert isinstance(final, TurnFailed)
    return final.problem


async def events_of(turn: EventLog) -> list[TurnEvent]:
    return [event async for batch in turn.stream() for event in batch]


async def messages_of(store: SqliteStore, thread: Thread) -> list[Message]:
    return (await store.list_messages(OWNER, thread.id, limit=100, after=None, before=None, order="asc")).items


class Gate:
    """A script that stops until it is opened."""

    def __init__(self, then: Script = say_hello) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.cancelled = False
        self._then = then

    async def __call__(self, observer: RunObserver) -> None:
        self.reached.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await self._then(observer)
