"""Following a turn that another process runs, or that has ended: its stored events, and then its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence

from errors import ChatError, StoreUnavailable, TurnInterrupted
from events import FinalEvent, TurnEvent, TurnFailed, end_with
from models import Owner, Problem, Turn, utcnow
from stores.contract import ThreadStore
from stores.types import TurnProgress
from turns.intervals import TurnIntervals

logger = logging.getLogger(__name__)


async def follow_stored(
    store: ThreadStore,
    owner: Owner,
    progress: TurnProgress,
    *,
    after: int,
    heartbeat_interval: float,
    intervals: TurnIntervals,
    events_kept: bool,
) -> AsyncIterator[Sequence[TurnEvent]]:
    """Yield a turn's events after number ``after`` from the store, each once and in order, until its end.

    Yields an empty batch whenever nothing has come for ``heartbeat_interval`` seconds. ``events_kept`` says whether events are
    stored at all; the final event is there in any case.
    """
    turn, position, last_event_at = progress.turn, after, time.monotonic()
    while True:
        if progress.events:
            position, last_event_at = progress.events[-1].id, time.monotonic()
            yield progress.events
        if progress.turn.status != "running" and not (events_kept and _is_lagging(progress, position, intervals.event_lag)):
            if final := final_event(progress, position):
                yield (final,)
            return
        if time.monotonic() - last_event_at >= heartbeat_interval:
            last_event_at = time.monotonic()
            yield ()
        await asyncio.sleep(intervals.follow)
        try:
            progress = await store.get_progress(owner, turn.thread_id, turn.id, after=position)
        except StoreUnavailable:
            # The turn may be well: what was missed comes with the next answer.
            logger.warning("following turn %s failed, will retry", turn.id, exc_info=True)
            progress = TurnProgress(turn, [], None)
        except ChatError as error:
            yield (TurnFailed(id=position + 1, turn_id=turn.id, problem=Problem.of(error)),)
            return


def final_event(progress: TurnProgress, position: int) -> FinalEvent | None:
    """Return the event that ended a turn, for a reader who has seen the events up to ``position``; ``None`` if that was it."""
    turn, id = progress.turn, progress.final_event_id
    if id is not None and position >= id:
        return None
    id = id or position + 1
    if turn.message:
        return end_with(turn.message, id=id)
    return TurnFailed(id=id, turn_id=turn.id, problem=turn.problem or Problem.of(TurnInterrupted()))


def _is_lagging(progress: TurnProgress, position: int, seconds: float) -> bool:
    return (
        progress.final_event_id is not None and position < progress.final_event_id - 1 and _ended_lately(progress.turn, seconds)
    )


def _ended_lately(turn: Turn, seconds: float) -> bool:
    return turn.ended_at is None or (utcnow() - turn.ended_at).total_seconds() < seconds
