"""Several instances of the bot on one store and one queue, in one event loop; the queue goes by the channel's clock."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import services.services
import teams.bot
import teams.connector
from errors import StoreUnavailable
from services.intervals import Intervals
from services.open_store import open_store
from settings import Settings
from stores.contract import ThreadStore
from teams.bot import Bot
from teams.clock import Clock
from tests.fakes.connector import FakeConnector
from tests.support.assistant_folder import HARBOUR
from tests.support.stores import Backend
from turns.service import Turns

OPEN_STORE = open_store
MAX_ATTEMPTS = 5
RETRY_SECONDS = 5.0
# What the host hides a message for, which a host that dies does not shorten.
HIDDEN_SECONDS = 600.0


@dataclass(order=True)
class Queued:
    """A message of the queue: when it can be seen, and how often it was taken."""

    visible_at: float
    number: int
    payload: str = field(compare=False)
    attempts: int = field(default=0, compare=False)


class FakeQueue:
    """The Storage queue, and the host that takes messages out of it."""

    def __init__(self, channel: FakeConnector) -> None:
        self.channel = channel
        self.messages: list[Queued] = []
        self.poison: list[str] = []
        self.most_at_once = 0
        self._numbers = itertools.count()
        self._work: set[asyncio.Task[None]] = set()

    async def put(self, payload: str, *, delay: float = 0.0) -> None:
        heapq.heappush(self.messages, Queued(self.channel.clock.now() + delay, next(self._numbers), payload))

    async def run(self, instances: Sequence[Instance]) -> None:
        """Give the messages to the instances by turns, as they can be seen, until none is left."""
        turns = itertools.cycle(instances)
        while self.messages or self._work:
            while self.messages and self.messages[0].visible_at <= self.channel.clock.now():
                instance = next(each for each in turns if not each.fate.is_away)
                task = asyncio.create_task(self._deliver(heapq.heappop(self.messages), instance))
                self._work.add(task)
                task.add_done_callback(self._work.discard)
            self.most_at_once = max(self.most_at_once, len(self._work))
            if self._work:
                await asyncio.wait(self._work, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
            elif self.messages:
                await self.channel.clock.sleep(self.messages[0].visible_at - self.channel.clock.now())

    async def _deliver(self, message: Queued, instance: Instance) -> None:
        message.attempts += 1
        working = asyncio.ensure_future(instance.bot.work(message.payload))
        dying = asyncio.ensure_future(instance.fate.died.wait())
        await asyncio.wait((working, dying), return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if instance.fate.is_dead:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            self._again(message, HIDDEN_SECONDS)
        elif working.exception() is None:
            return
        elif message.attempts < MAX_ATTEMPTS:
            self._again(message, RETRY_SECONDS)
        else:
            self.poison.append(message.payload)

    def _again(self, message: Queued, seconds: float) -> None:
        message.visible_at = self.channel.clock.now() + seconds
        heapq.heappush(self.messages, message)


class Fate:
    """Ends an instance: when told to, or at a position, counted in what it does to the store, the channel and the queue.

    With a ``clock`` it does not end, but is cut off from all of them for so many ``seconds``, or stands still.
    """

    def __init__(
        self, at: int | None = None, *, clock: Clock | None = None, seconds: float = 0.0, stands_still: bool = False
    ) -> None:
        self.at = at
        self.position = 0
        self.clock = clock
        self.seconds = seconds
        self.stands_still = stands_still
        self.until = 0.0
        self.died = asyncio.Event()

    @property
    def is_dead(self) -> bool:
        return self.died.is_set()

    @property
    def is_away(self) -> bool:
        """Whether it takes nothing out of the queue."""
        return self.is_dead or (self.clock is not None and self.clock.now() < self.until)

    async def act(self) -> None:
        """Do something, if it still can: one that is dead changes nothing any more, anywhere."""
        if self.position == self.at:
            if self.clock:
                self.until = self.clock.now() + self.seconds
            else:
                self.died.set()
        self.position += 1
        while self.clock and self.clock.now() < self.until:
            if not self.stands_still:
                raise StoreUnavailable
            await self.clock.sleep(2.0)
        if self.is_dead:
            raise StoreUnavailable


class Mortal:
    """What an instance does something to: each call may be its last."""

    def __init__(self, target: Any, fate: Fate) -> None:
        self._target = target
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._fate.act()
            result = await method(*args, **kwargs)
            if self._fate.is_dead:
                raise StoreUnavailable
            return result

        return call


@dataclass
class Instance:
    """A bot in a process of its own, as far as that can be had in one."""

    bot: Bot
    store: ThreadStore
    turns: Turns
    fate: Fate

    async def receive(self, activity: dict[str, Any]) -> None:
        assert (await self.bot.receive(activity, None, "req_1")).status == 202


@dataclass
class Instances:
    """The instances, and the queue behind them."""

    all: list[Instance]
    queue: FakeQueue

    async def receive(self, activity: dict[str, Any], instance: int = 0) -> None:
        await self.all[instance].receive(activity)

    async def run(self) -> None:
        """Let everything be done that is in the queue."""
        async with asyncio.timeout(60):
            await self.queue.run(self.all)


@asynccontextmanager
async def open_instances(
    settings: Settings,
    channel: FakeConnector,
    monkeypatch: pytest.MonkeyPatch,
    *fates: Fate,
    backend: Backend | None = None,
    queued: bool = True,
) -> AsyncIterator[Instances]:
    """Open two instances, or as many as fates are given, on a backend or else on the settings' store."""
    queue = FakeQueue(channel)
    if queued:
        settings = settings.model_copy(update={"bot_queue_url": "https://account.queue.example/activities"})
    async with AsyncExitStack() as stack:
        instances = []
        for fate in fates or (Fate(), Fate()):
            instances.append(await stack.enter_async_context(_instance(settings, channel, monkeypatch, queue, fate, backend)))
        yield Instances(instances, queue)


@asynccontextmanager
async def _instance(
    settings: Settings,
    channel: FakeConnector,
    monkeypatch: pytest.MonkeyPatch,
    queue: FakeQueue,
    fate: Fate,
    backend: Backend | None,
) -> AsyncIterator[Instance]:
    @asynccontextmanager
    async def open_queue(*_: Any) -> AsyncIterator[Any]:
        yield Mortal(queue, fate)

    @asynccontextmanager
    async def open_token_source(_: Settings) -> AsyncIterator[Any]:
        async def token() -> str:
            await fate.act()
            return ""

        yield token

    @asynccontextmanager
    async def open_mortal_store(*args: Any) -> AsyncIterator[Any]:
        async with backend.new() if backend else OPEN_STORE(*args) as store:
            yield Mortal(store, fate)

    with monkeypatch.context() as patch:
        patch.setattr(teams.bot, "open_queue", open_queue)
        patch.setattr(teams.connector, "open_token_source", open_token_source)
        patch.setattr(services.services, "open_store", open_mortal_store)
        intervals = Intervals(bot_clock=channel.clock, grace=0.0)
        async with services.services.open_services(settings, HARBOUR, intervals) as opened:
            assert opened.bot
            bot = await opened.bot.get()
            # It counts from here: not what it takes to start.
            fate.position = 0
            try:
                yield Instance(bot, opened.store, opened.turns, fate)
            finally:
                # What is left of a dead process goes with it, but here it has to be closed.
                fate.at = None
                fate.died.clear()
