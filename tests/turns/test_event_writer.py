"""Events that cannot be stored are left out alone, and large ones are stored in parts (audit H2)."""

from __future__ import annotations

import pytest

from events import MessageDelta, TurnEvent
from models import Message, Owner
from stores.contract import ThreadStore
from stores.sqlite.store import SqliteStore
from stores.types import StartedTurn, TurnEnd
from tests.support.stores import ANN, Backend, answer, begin
from turns.event_log import EventLog
from turns.event_writer import MAX_BATCH_BYTES, EventWriter

BOB = Owner("globex", "bob")
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp would like it in a file


def say(log: EventLog, *texts: str) -> None:
    for text in texts:
        log.emit(MessageDelta(id=log.next_id, turn_id=log.id, text=text))


async def begun(store: ThreadStore, owner: Owner) -> tuple[StartedTurn, EventLog]:
    thread = await store.create_thread(owner, title=None, metadata={})
    turn = await begin(store, thread.id, owner=owner)
    return turn, EventLog(thread.id, turn.turn_id)


async def finish(store: ThreadStore, turn: StartedTurn, log: EventLog) -> Message:
    reply = answer(turn)
    message = turn.message.model_copy(update={"status": "completed"})
    await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=log.next_id))
    log.end(reply)
    return reply


async def stored(store: ThreadStore, owner: Owner, log: EventLog) -> list[TurnEvent]:
    return list((await store.get_progress(owner, log.thread_id, log.id, after=0)).events)


async def test_an_event_that_cannot_be_stored_costs_no_other_turn_its_events(
    store: ThreadStore, caplog: pytest.LogCaptureFixture
) -> None:
    (bad_turn, bad), (good_turn, good) = await begun(store, ANN), await begun(store, BOB)
    writer = EventWriter(store, seconds_to_live=60, interval=60)
    writer.track(bad)
    writer.track(good)
    say(bad, "before", "\ud800")
    say(good, *(f"piece {number}" for number in range(120)))
    await finish(store, good_turn, good)
    reply = await finish(store, bad_turn, bad)
    await writer.aclose()
    assert [event.id for event in await stored(store, BOB, good)] == list(range(1, 121))
    progress = await store.get_progress(ANN, bad.thread_id, bad.id, after=0)
    assert (progress.events, progress.turn.message, progress.final_event_id) == ([], reply, 3)
    assert caplog.text.count("left out") == 1


async def test_what_is_too_much_for_one_write_is_stored_in_several(store: ThreadStore) -> None:
    turn, log = await begun(store, ANN)
    writer = EventWriter(store, seconds_to_live=60, interval=60)
    say(log, *["天" * 30_000] * 40)
    writer.track(log)
    await finish(store, turn, log)
    await writer.aclose()
    assert [event.id for event in await stored(store, ANN, log)] == list(range(1, 41))


async def test_a_write_holds_no_more_than_it_should(store: ThreadStore) -> None:
    sizes: list[int] = []
    save = store.save_events

    async def counting(batches):  # type: ignore[no-untyped-def]
        sizes.extend(sum(len(event.to_json()) for event in batch.events) for batch in batches)
        return await save(batches)

    store.save_events = counting  # type: ignore[method-assign]
    turn, log = await begun(store, ANN)
    writer = EventWriter(store, seconds_to_live=60, interval=60)
    say(log, *["x" * 100_000] * 20, "y" * 1_000_000)
    writer.track(log)
    await finish(store, turn, log)
    await writer.aclose()
    assert max(sizes[:-1]) <= MAX_BATCH_BYTES
    assert len(sizes) == 5


async def test_an_event_over_what_cosmos_db_takes_costs_only_itself(backend: Backend) -> None:
    async with backend.new() as store:
        (large_turn, large), (other_turn, other) = await begun(store, ANN), await begun(store, BOB)
        writer = EventWriter(store, seconds_to_live=60, interval=60)
        writer.track(large)
        writer.track(other)
        say(large, "small", "x" * 3_000_000, "small")
        say(other, *(f"piece {number}" for number in range(120)))
        reply = await finish(store, large_turn, large)
        await finish(store, other_turn, other)
        await writer.aclose()
        assert len(await stored(store, BOB, other)) == 120
        progress = await store.get_progress(ANN, large.thread_id, large.id, after=0)
        # SQLite takes it.
        expected = [1, 2, 3] if isinstance(store, SqliteStore) else [1, 3]
        assert [event.id for event in progress.events] == expected
        assert (progress.turn.message, progress.final_event_id) == (reply, 4)
