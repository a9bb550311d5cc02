"""Messages that wait for their thread in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from errors import TurnInProgress
from models import Message, Thread, new_id
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage
from tests.fakes.agent import ScriptedAgent, say_hello
from tests.support.scripted_turns import OWNER, Gate, messages_of, start, turns_of
from turns.event_log import EventLog
from turns.intervals import TurnIntervals
from turns.service import Turns
from turns.waiting import Wait

WAIT = Wait(20)
OFTEN = TurnIntervals(free=0.01)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore(tmp_path / "chat.db") as opened:
        yield opened


@pytest.fixture
async def thread(store: SqliteStore) -> Thread:
    return await store.create_thread(OWNER, title=None, metadata={})


async def wait(turns: Turns, thread: Thread, content: str, how: Wait = WAIT, key: str | None = None) -> EventLog:
    new = NewMessage(new_id("turn"), content, {}, key)
    log, _ = await turns.start_when_free(OWNER, thread.id, new, how, stream=False, request_id=None, locale=None)
    assert isinstance(await log.wait(), Message)
    return log


async def questions(store: SqliteStore, thread: Thread) -> list[str]:
    return [message.content for message in await messages_of(store, thread) if message.role == "user"]


async def test_they_keep_the_order_of_their_arrival_and_nobody_jumps_the_line(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turns = turns_of(store, ScriptedAgent(gate, say_hello), OFTEN)
    running = await start(turns, thread, "first", "k")
    await gate.reached.wait()
    waiting = [asyncio.create_task(wait(turns, thread, str(number))) for number in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(TurnInProgress):
        await wait(turns, thread, "jumps", Wait())
    gate.opened.set()
    await running.wait()
    assert (await wait(turns, thread, "first", Wait(), "k")).replayed
    await asyncio.gather(*waiting)
    assert await questions(store, thread) == ["first", *map(str, range(5))]


async def test_one_that_gives_up_lets_the_next_one_pass(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turns = turns_of(store, ScriptedAgent(gate, say_hello), OFTEN)
    await start(turns, thread, "first")
    impatient = asyncio.create_task(wait(turns, thread, "impatient", Wait(0.05)))
    cancelled = asyncio.create_task(wait(turns, thread, "cancelled"))
    patient = asyncio.create_task(wait(turns, thread, "patient"))
    with pytest.raises(TurnInProgress):
        await impatient
    cancelled.cancel()
    gate.opened.set()
    await patient
    assert await questions(store, thread) == ["first", "patient"]


async def test_an_interruption_goes_before_all_who_wait(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    turns = turns_of(store, ScriptedAgent(gate, say_hello), OFTEN)
    running = await start(turns, thread, "first")
    await gate.reached.wait()
    waiting = asyncio.create_task(wait(turns, thread, "waits"))
    await asyncio.sleep(0)
    await wait(turns, thread, "interrupts", Wait(interrupt=True))
    await waiting
    assert gate.cancelled
    result = await running.wait()
    assert isinstance(result, Message)
    assert result.status == "cancelled"
    assert await questions(store, thread) == ["first", "interrupts", "waits"]


async def test_it_waits_for_a_turn_of_another_process(store: SqliteStore, thread: Thread) -> None:
    gate = Gate()
    others, turns = turns_of(store, ScriptedAgent(gate), OFTEN), turns_of(store, ScriptedAgent(say_hello), OFTEN)
    await start(others, thread, "first")
    waiting = asyncio.create_task(wait(turns, thread, "second"))
    await gate.reached.wait()
    gate.opened.set()
    await waiting
    assert await questions(store, thread) == ["first", "second"]
