"""How often, and for how long, the process's parts do what they do. Tests bring shorter ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from turns.intervals import TurnIntervals

if TYPE_CHECKING:
    from teams.clock import Clock

GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Intervals:
    """All in seconds, but for ``bot_clock``.

    - ``turns``: those of a turn.
    - ``ready_wait``: how long a readiness check may keep its callers waiting.
    - ``ready_fresh``, ``model_fresh``: how long the outcome of one counts; the model's costs money.
    - ``heartbeat``: without an event in a stream, before a comment line keeps it open.
    - ``send``: how long a client may take nothing of a stream before it is cut off; the turn's events wait for it to come back.
    - ``place``: between two looks for a place among the turns that may run at once, for the questions of a batch.
    - ``body``: how long a request's body may take to arrive.
    - ``grace``: how long turns may go on when the process stops.
    - ``bot_clock``: what the bot paces its sending by; ``None`` is the time of the machine.
    """

    turns: TurnIntervals = field(default_factory=TurnIntervals)
    ready_wait: float = 2.0
    ready_fresh: float = 5.0
    model_fresh: float = 60.0
    heartbeat: float = 15.0
    send: float = 60.0
    place: float = 0.5
    body: float = 15.0
    grace: float = GRACE_SECONDS
    bot_clock: Clock | None = None
