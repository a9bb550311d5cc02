"""What a turn is started with: what all turns of a process share, and what one of them is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models import Owner
from stores.contract import ThreadStore
from stores.types import NewTurn
from turns.event_writer import EventWriter
from turns.intervals import TurnIntervals
from turns.thread_reference import ThreadReference

if TYPE_CHECKING:
    from agent.agent import ChatAgent
    from quotas.quotas import Quotas
    from settings import Settings


@dataclass(frozen=True, slots=True)
class TurnContext:
    """What all turns of a process share."""

    store: ThreadStore
    agent: Callable[[], Awaitable[ChatAgent]]
    quotas: Quotas
    settings: Settings
    event_writer: EventWriter
    intervals: TurnIntervals


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A message that asks for a turn, or what goes on with a paused one, in a thread by its id or its caller's name for it.

    With ``stream`` the model is asked to stream, for a reader who wants the text as it comes, and the turn's events are stored
    for whoever follows it later or elsewhere. ``request_id`` goes into the problem of a turn that fails. ``locale`` is the
    caller's language, if it is known. It has ``waited`` so many seconds for the thread, which are taken off the turn's own.
    """

    owner: Owner
    thread: str | ThreadReference
    new: NewTurn
    stream: bool
    request_id: str | None
    locale: str | None = None
    waited: float = 0
