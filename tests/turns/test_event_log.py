"""A turn's log and its readers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from events import MessageDelta, TurnEvent, TurnFailed, TurnStarted
from models import Message, Problem, message_id, utcnow
from stores.types import ReplayedTurn
from turns.event_log import EventLog, replay

THREAD_ID = "thread_" + "0" * 32


def say(log: EventLog, text: str) -> None:
    log.emit(MessageDelta(id=log.next_id, turn_id=log.id, text=text))


def fail(log: EventLog) -> None:
    problem = Problem(type="x", title="X", status=500, detail="X.", retryable=False)
    log.emit(TurnFailed(id=log.next_id, turn_id=log.id, problem=problem))


async def batch_ids(log: EventLog, after: int = 0) -> list[list[int]]:
    return [[event.id for event in batch] async for batch in log.stream(after=after)]


async def test_a_reader_gets_all_there_is_at_once_and_then_what_comes() -> None:
    log = EventLog("thread_1", "turn_1")
    log.emit(TurnStarted(id=1, turn_id=log.id))
    say(log, "a")
    batches = log.stream()
    assert [event.id for event in await anext(batches)] == [1, 2]
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    assert not waiting.done()
    say(log, "b")
    assert await waiting == [MessageDelta(id=3, turn_id=log.id, text="b")]
    fail(log)
    assert [[event.type for event in batch] async for batch in batches] == [["turn.failed"]]


async def test_a_reader_may_begin_anywhere() -> None:
    log = EventLog("thread_1", "turn_1")
    for _ in range(3):
        say(log, "…")
    fail(log)
    assert await batch_ids(log) == [[1, 2, 3, 4]]
    assert await batch_ids(log, 3) == [[4]]
    assert await batch_ids(log, 4) == []
    assert await batch_ids(log, 99) == []


async def test_readers_do_not_disturb_each_other() -> None:
    log = EventLog("thread_1", "turn_1")

    async def read() -> list[int]:
        return [event.id async for batch in log.stream() for event in batch]

    readers = [asyncio.create_task(read()) for _ in range(10)]
    for number in range(100):
        say(log, str(number))
        if number % 7 == 0:
            await asyncio.sleep(0)
        if number == 50:
            readers[0].cancel()
    fail(log)
    seen = await asyncio.gather(*readers[1:])
    assert seen == [list(range(1, 102))] * 9


async def test_silence_is_an_empty_batch() -> None:
    log = EventLog("thread_1", "turn_1")
    batches = log.stream(heartbeat_interval=0.001)
    assert await anext(batches) == ()
    assert await anext(batches) == ()
    say(log, "a")
    batch: Sequence[TurnEvent] = await anext(batches)
    assert [event.id for event in batch] == [1]


async def test_a_replay_is_the_end_of_the_first_turn() -> None:
    message = Message(
        id=message_id(THREAD_ID, 2),
        thread_id=THREAD_ID,
        seq=2,
        role="assistant",
        content="4",
        timestamp=utcnow(),
        status="completed",
        turn_id="turn_1",
    )
    log = replay(ReplayedTurn(message))
    assert (log.id, log.replayed, log.ended, await log.wait()) == ("turn_1", True, True, message)
    assert [event.type for event in log.events_after(0)] == ["message.completed"]
    cancelled = replay(ReplayedTurn(message.model_copy(update={"status": "cancelled"})))
    assert [event.type for event in cancelled.events_after(0)] == ["turn.cancelled"]
