"""What channels take of a text that grows: in which form, how often, and how much of it.

Teams: https://learn.microsoft.com/microsoftteams/platform/bots/streaming-ux. Web Chat and Direct Line: as Microsoft's
microsoft-agents-hosting-core 1.9 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from teams.activity import Incoming

PACE_SECONDS = 1.5
# Teams ends a stream after two minutes.
STREAM_SECONDS = 100.0
MAX_INFORMATIVE = 1000
# Teams takes 100 KB a message and advises 80, cards, marks and labels included, in UTF-16: so many units of it are text.
MAX_TEXT = 30_000
# What is shown of a text that grows towards that: the rest of the room is for finding a good place to divide it.
MAX_GROWING = 24_000
LIVE_CHANNELS = ("webchat", "directline")
# What a channel takes that has refused that much.
SMALL_TEXT = 2_000


class Mode(Enum):
    """How a channel shows text that grows."""

    STREAM = auto()  # as Teams does, for two minutes
    LIVE = auto()  # as Web Chat does: for as long as it takes, in a stream that the bot names
    UPDATE = auto()  # one message that is changed
    ONCE = auto()  # not at all


@dataclass(frozen=True, slots=True)
class Pacing:
    """How a message grows: shown again after so many ``seconds`` at the soonest, and when so many ``characters`` are new."""

    seconds: float = PACE_SECONDS
    characters: int = 1


def mode_of(incoming: Incoming) -> Mode:
    """Return how text grows where an activity came from."""
    # What is private cannot be changed: the SDK would do that in public.
    if incoming.expects_replies or incoming.is_private:
        return Mode.ONCE
    if incoming.channel == "msteams":
        return Mode.STREAM if incoming.is_personal else Mode.UPDATE
    return Mode.LIVE if incoming.channel in LIVE_CHANNELS else Mode.ONCE
