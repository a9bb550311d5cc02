"""Following a turn that another process runs, or that has ended: its stored events, and then its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager

from events import TurnEvent, TurnStarted
from models import Owner
from stores.contract import ThreadStore
from stores.types import TurnProgress
from turns.poller import PollOptions, Reader, TurnPoller, final_event, is_over


class TurnFollowers:
    """Those in this process who follow turns through the store: all followers of a turn share one poller."""

    def __init__(self, store: ThreadStore, options: PollOptions) -> None:
        self._store = store
        self._options = options
        self._pollers: dict[tuple[Owner, str, str], TurnPoller] = {}

    async def stream(
        self, owner: Owner, progress: TurnProgress, *, after: int, heartbeat_interval: float
    ) -> AsyncGenerator[Sequence[TurnEvent]]:
        """Yield a turn's events after number ``after``, each once and in order, until its end.

        ``progress`` is what the owner has just got from the store behind that number. Yields an empty batch whenever nothing
        has come for ``heartbeat_interval`` seconds. The final event is there even if others were not stored. Close it when you
        leave before the end: the last follower of a turn ends the polling.

        :raises Exception: whatever is wrong with the store in a way that it does not promise.
        """
        position = after
        if first := progress.events or self._beginning(progress, after):
            position = first[-1].id
            yield first
        if is_over(progress, position, self._options):
            final = final_event(progress, position)
        else:
            with self._joined(owner, progress, position) as (poller, reader):
                while (events := await poller.read(reader, heartbeat_interval=heartbeat_interval)) is not None:
                    yield events
                final = poller.final_event(reader)
        if final:
            yield (final,)

    def _beginning(self, progress: TurnProgress, after: int) -> Sequence[TurnEvent]:
        """Return the first event of a turn that stores none, or has not yet: every turn begins with the same."""
        is_known = progress.turn.status == "running" or not progress.events_kept
        return [TurnStarted(id=1, turn_id=progress.turn.id)] if is_known and not after and self._options.events_kept else ()

    async def aclose(self) -> None:
        """Stop polling; whoever still follows reads what has come, and no end."""
        tasks = [poller.task for poller in self._pollers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def _joined(self, owner: Owner, progress: TurnProgress, position: int) -> Iterator[tuple[TurnPoller, Reader]]:
        key = (owner, progress.turn.thread_id, progress.turn.id)
        poller = self._pollers.get(key)
        if poller is None or poller.task.done():
            poller = self._pollers[key] = TurnPoller(self._store, owner, progress, position, self._options)
        reader = poller.join(position)
        try:
            yield poller, reader
        finally:
            if poller.leave(reader) and self._pollers.get(key) is poller:
                del self._pollers[key]
