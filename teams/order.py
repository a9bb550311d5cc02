"""The order of a conversation's messages, across processes: each has a ticket; the first is worked on.

A ticket is taken when a message is accepted, and given back when nothing is left to be done for it. Who works on a message
beats while it lives. Clocks of processes are not compared: who waits counts for how long the one in front has shown no sign of
life, and passes it over then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from errors import ChatError
from teams.activity import Incoming, sent_at
from teams.clock import Clock
from teams.conversation_state import MAX_TICKETS, ActivityRecord, ConversationState, ConversationStates, Ticket

BEAT_SECONDS = 10.0
# Without a beat for so long, a worker is dead.
DEAD_SECONDS = 45.0
# Bot Service waits for 10 to 15 seconds for the acceptance of a message.
JOIN_SECONDS = 3.0
MAX_LOOK_SECONDS = 10.0
logger = logging.getLogger(__name__)


class Watch(NamedTuple):
    """What was seen of the ticket that keeps a message waiting, and for how many seconds it has not changed."""

    seen: str = ""
    seconds: float = 0.0


NOTHING_SEEN = Watch()


class Standing(NamedTuple):
    """How a message stands: done before; or to be worked on now (``ahead`` is 0), or after so many others.

    ``watch`` is to be shown when it looks again, ``look_in`` seconds later.
    """

    is_done: bool
    ahead: int = 0
    watch: Watch = NOTHING_SEEN

    @property
    def look_in(self) -> float:
        """When to look again, in seconds."""
        return min(MAX_LOOK_SECONDS, 1.0 if self.ahead == 1 else 2.0 * self.ahead)


class ConversationOrder:
    """Says whose turn it is in a conversation."""

    def __init__(self, states: ConversationStates, clock: Clock) -> None:
        self._states = states
        self._clock = clock
        self._moved = asyncio.Event()

    async def join(self, incoming: Incoming) -> None:
        """Take a ticket for a message, unless it has one or is done.

        A store that cannot be had keeps no message from being accepted: it takes its ticket when it is worked on.
        """

        def change(kept: ConversationState) -> None:
            if not _is_done(kept, incoming):
                _insert(kept, incoming)

        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await self._states.change(incoming.owner, change)
        except (ChatError, TimeoutError) as error:
            logger.warning("a message was accepted without its place in the order: %s", type(error).__name__)

    async def enter(self, incoming: Incoming, worker: str, watch: Watch, *, in_order: bool = True) -> Standing:
        """Begin to work on a message, as ``worker``, if it is its turn; without ``in_order`` if nobody else works on it.

        Whoever has kept it from that for too long without a sign of life loses its place.

        :raises StoreUnavailable: if the store cannot tell.
        """
        standing = Standing(is_done=True)

        def change(kept: ConversationState) -> None:
            nonlocal standing
            standing = _enter(kept, incoming, worker, watch, in_order=in_order)

        await self._states.change(incoming.owner, change)
        return standing

    async def beat(self, incoming: Incoming, worker: str) -> None:
        """Show that a worker lives, until another attempt has taken its work over or done it, which is when this returns.

        One that was passed over takes a new place: nobody else works on it, and nobody else is to begin.
        """
        holds = True

        def change(kept: ConversationState) -> None:
            nonlocal holds
            known = _find(kept, incoming.key)
            holds = not _is_done(kept, incoming) and (known is None or known.worker == worker)
            if holds and (ticket := _insert(kept, incoming)):
                _replace(kept, ticket.model_copy(update={"worker": worker, "beats": ticket.beats + 1}))

        while holds:
            await self._clock.sleep(BEAT_SECONDS)
            try:
                await self._states.change(incoming.owner, change)
            except ChatError as error:
                logger.warning("a sign of life could not be given: %s", type(error).__name__)

    async def release(self, incoming: Incoming, worker: str) -> None:
        """End an attempt of which something is left to be done: the message keeps its place."""

        def change(kept: ConversationState) -> None:
            ticket = _find(kept, incoming.key)
            if ticket and ticket.worker == worker:
                _replace(kept, ticket.model_copy(update={"worker": "", "beats": ticket.beats + 1}))

        await self._states.change(incoming.owner, change)

    async def leave(self, incoming: Incoming, *, done: bool) -> None:
        """Give the place to the next: the message is ``done``, or what is left to do for it may be done in any order."""

        def change(kept: ConversationState) -> None:
            known = kept.find(incoming.key) or ActivityRecord(key=incoming.key)
            if done and not known.done:
                kept.remember(known.model_copy(update={"done": True, "preferences": {}}))
            kept.drop_ticket(incoming.key)

        try:
            await self._states.change(incoming.owner, change)
        finally:
            self._moved.set()
            self._moved = asyncio.Event()

    async def wait(self, seconds: float) -> float:
        """Wait until somebody has left here, or may have elsewhere; return how many seconds that took."""
        begun = self._clock.now()
        await self._clock.wait(self._moved, seconds)
        return self._clock.now() - begun


def _enter(kept: ConversationState, incoming: Incoming, worker: str, watch: Watch, *, in_order: bool) -> Standing:
    if _is_done(kept, incoming):
        kept.drop_ticket(incoming.key)
        return Standing(is_done=True)
    ticket = _insert(kept, incoming)
    ahead = [each for each in _ahead(kept, incoming, worker) if in_order or each.key == incoming.key]
    if ahead and watch.seen == _seen(ahead[0]) and watch.seconds >= DEAD_SECONDS:
        logger.warning("a message is passed over: who worked on it shows no sign of life")
        if ahead[0].key == incoming.key:
            ahead = []
        else:
            kept.drop_ticket(ahead[0].key)
            ahead = _ahead(kept, incoming, worker)
    if ticket and not ahead:
        _replace(kept, ticket.model_copy(update={"worker": worker, "beats": ticket.beats + 1}))
        return Standing(is_done=False)
    seen = _seen(ahead[0]) if ahead else ""
    standing = Standing(is_done=False, ahead=max(1, len(ahead)))
    seconds = watch.seconds if watch.seen == seen else 0.0
    return standing._replace(watch=Watch(seen, seconds + standing.look_in))


def _ahead(kept: ConversationState, incoming: Incoming, worker: str) -> list[Ticket]:
    """Return who keeps a message from being worked on, the first one first: those before it, or another attempt at it."""
    ahead: list[Ticket] = []
    for each in kept.tickets:
        if each.key == incoming.key:
            return ahead or ([each] if each.worker not in ("", worker) else [])
        if each.conversation == incoming.conversation_key:
            ahead.append(each)
    return ahead


def _insert(kept: ConversationState, incoming: Incoming) -> Ticket | None:
    """Return the message's ticket, which is behind those of the conversation; ``None`` if too many wait in it.

    Where other conversations of the owner hold all places, the oldest place goes: its message takes another when it looks.
    The channel may have delivered two messages in the wrong order: what was sent before goes before, unless that was begun.
    """
    if known := _find(kept, incoming.key):
        return known
    if len(kept.tickets) >= MAX_TICKETS:
        if any(each.conversation == incoming.conversation_key for each in kept.tickets):
            return None
        del kept.tickets[0]
    moment = sent_at(incoming.activity)
    ticket = Ticket(key=incoming.key, conversation=incoming.conversation_key, sent_at=moment)
    place = len(kept.tickets)
    for index, each in reversed(list(enumerate(kept.tickets))):
        if each.conversation == ticket.conversation:
            if each.beats or not moment or each.sent_at <= moment:
                break
            place = index
    kept.tickets.insert(place, ticket)
    return ticket


def _is_done(kept: ConversationState, incoming: Incoming) -> bool:
    known = kept.find(incoming.key)
    return known is not None and known.done


def _find(kept: ConversationState, key: str) -> Ticket | None:
    return next((each for each in kept.tickets if each.key == key), None)


def _replace(kept: ConversationState, ticket: Ticket) -> None:
    kept.tickets = [ticket if each.key == ticket.key else each for each in kept.tickets]


def _seen(ticket: Ticket) -> str:
    return f"{ticket.key[:16]} {ticket.worker} {ticket.beats}"
