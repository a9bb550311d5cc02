"""How often, and for how long, the parts of a turn do what they do. Tests bring shorter ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnIntervals:
    """All in seconds, but for ``renewals_per_lease``.

    - ``save``: between writes of a turn's new events to the store.
    - ``follow``: between looks at a turn that another process runs and somebody here follows. Looking more often than events
      are saved finds nothing. While nothing comes it grows to ``follow_silent``.
    - ``event_lag``: how long after a turn's end its last events may still be on their way to the store.
    - ``cancel_poll``: between looks whether the turn was cancelled through another process.
    - ``renewals_per_lease``: how often a lease is renewed before it would expire.
    - ``free``: between looks whether a thread is free that somebody waits for, and whether they still do.
    - ``retry``: between attempts to store how a turn has failed, each of which has tried for a while already.
    """

    save: float = 1.0
    follow: float = 1.0
    follow_silent: float = 2.0
    event_lag: float = 3.0
    cancel_poll: float = 1.0
    renewals_per_lease: float = 3
    free: float = 0.5
    retry: float = 0.5
