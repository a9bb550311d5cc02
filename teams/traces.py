"""What a developer sees in the Emulator when something fails; no other channel is told."""

from __future__ import annotations

from contextlib import suppress

from microsoft_agents.activity import Activity

from teams.activity import Incoming
from teams.sender import NotSent, Sender

EMULATOR = "emulator"
# What the Emulator shows as an error.
VALUE_TYPE = "https://www.botframework.com/schemas/error"


async def trace_error(incoming: Incoming, sender: Sender, type: str, why: str) -> None:
    """Tell the Emulator why an activity failed: the error's type, and its reasons with their texts."""
    if incoming.channel != EMULATOR:
        return
    value = f"{type}: {why}" if why else type
    with suppress(NotSent):
        await sender.send(Activity(type="trace", name="OnTurnError", label="Turn error", value=value, value_type=VALUE_TYPE))
