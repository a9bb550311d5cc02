"""Cancelling a turn, from its own process and from another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.run import RunObserver
from errors import TurnEnded
from events import TurnCancelled
from models import Thread, Turn, new_id
from stores.types import NewMessage
from tests.support.processes import ANN, Steps, new_thread, process, start, until
from tests.support.turns import FAST
from turns.event_log import EventLog
from turns.service import Turns


async def ended(turns: Turns, thread: Thread, log: EventLog) -> Turn:
    await log.wait()
    return await turns.get(ANN, thread.id, log.id)


@pytest.mark.parametrize("same_process", [True, False])
async def test_a_cancelled_turn_stops_and_keeps_what_it_said(path: Path, same_process: bool) -> None:
    steps = Steps()
    async with process(path, steps) as (store, turns), process(path, steps) as (_, others):
        thread = await new_thread(store)
        log = await start(turns, thread, key="k")
        steps.step(2)
        await until(log, 3)
        await (turns if same_process else others).cancel(ANN, thread.id, log.id)
        turn = await ended(turns, thread, log)
        assert steps.cancelled.is_set()
        assert (turn.status, turn.problem) == ("cancelled", None)
        assert turn.message is not None
        assert (turn.message.content, turn.message.status, turn.message.role) == ("0 1 ", "cancelled", "assistant")
        final = list(log.events_after(0))[-1]
        assert isinstance(final, TurnCancelled)
        assert final.message == turn.message
        page = await store.list_messages(ANN, thread.id, limit=10, after=None, before=None, order="asc")
        assert [(m.role, m.status) for m in page.items] == [("user", "cancelled"), ("assistant", "cancelled")]
        with pytest.raises(TurnEnded):
            await turns.cancel(ANN, thread.id, log.id)
        replayed = await start(others, thread, key="k")
        assert (replayed.id, replayed.replayed, await replayed.wait()) == (log.id, True, turn.message)
        steps.step(9)
        assert (await ended(turns, thread, await start(turns, thread))).status == "completed"


async def test_a_turn_is_cancelled_at_once_in_its_process(path: Path) -> None:
    async with process(path, Steps(), replace(FAST, cancel_poll=60)) as (store, turns):
        thread = await new_thread(store)
        log = await start(turns, thread)
        await turns.cancel(ANN, thread.id, log.id)
        turn = await ended(turns, thread, log)
        assert (turn.status, turn.message.content if turn.message else None) == ("cancelled", "")


async def test_a_cancellation_that_comes_too_late_changes_nothing_later(path: Path) -> None:
    async def script(observer: RunObserver) -> None:
        observer.text("done")
        await turns.cancel(ANN, thread.id, running[0])

    running: list[str] = []
    async with process(path, script) as (store, turns):
        thread = await new_thread(store)
        new = NewMessage(new_id("turn"), "hi", {})
        running.append(new.turn_id)
        log = await turns.start(ANN, thread.id, new, stream=True)
        turn = await ended(turns, thread, log)
        assert (turn.status, turn.message.content if turn.message else None) == ("cancelled", "done")
