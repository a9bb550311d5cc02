"""Deciding about a paused answer as clients do: twice at once, from two instances, again after a failure, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.programs.chaos.caller import Caller, Unreachable
from tests.programs.chaos.journal import Ask, Conversation, Journal
from tests.programs.chaos.plan import APPROVAL_SECONDS, CLOCK_SHIFTS

HOWS = ("approve", "refuse", "approve and refuse at once", "cancel", "nothing", "approve too late, then refuse")
WEIGHTS = (44, 10, 24, 8, 11, 3)
ATTEMPTS = 12


class Deciding:
    """One client's way with one paused answer."""

    def __init__(self, caller: Caller, journal: Journal, conversation: Conversation, ask: Ask, *, lagging: bool) -> None:
        self._caller = caller
        self._journal = journal
        self._conversation = conversation
        self._ask = ask
        self._lagging = lagging
        self._path = f"/api/threads/{conversation.id}/turns"

    async def decide(self, paused: dict[str, Any]) -> None:
        """Decide about an answer's open calls."""
        how = self._caller.chance.choices(HOWS, WEIGHTS)[0]
        self._journal.mischief[f"decision: {how}"] += 1
        if how == "nothing":
            return
        if how == "cancel":
            await self._send(paused, "cancel", None, None)
            return
        if how == "approve too late, then refuse":
            await asyncio.sleep(APPROVAL_SECONDS + max(CLOCK_SHIFTS) - min(CLOCK_SHIFTS))
            # Of a message that was sent twice, the other client may have approved in time.
            in_time = self._journal.approved & _orders(paused)
            await self._continue(paused, approved=True)
            # Whatever anybody's clock says, it is over: nothing may be paid for.
            self._journal.approved -= _orders(paused) - in_time
            await self._continue(paused, approved=False)
            return
        verdicts = {"approve": (True,), "refuse": (False,)}.get(how, (True, False))
        await asyncio.gather(*(self._continue(paused, approved=verdict) for verdict in verdicts))

    async def _continue(self, paused: dict[str, Any], *, approved: bool) -> None:
        waiting = [call for call in paused["tool_calls"] if call["status"] == "open"]
        if approved:
            self._journal.approved |= _orders(paused)
        body = {"approvals": [{"call_id": call["id"], "approved": approved} for call in waiting]}
        key = f"decide-{paused['turn_id']}-{approved}"
        for _ in range(ATTEMPTS):
            if await self._send(paused, "continue", body, key):
                return
            await asyncio.sleep(self._caller.chance.uniform(0.1, 0.5))

    async def _send(self, paused: dict[str, Any], what: str, body: Any, key: str | None) -> bool:
        """Send it once; return whether it is settled."""
        headers = {"Idempotency-Key": key} if key else {}
        path = f"{self._path}/{paused['turn_id']}/{what}"
        try:
            found = await self._caller.send(self._conversation.owner, "POST", path, body, headers)
        except Unreachable:
            return False
        self._journal.answers[f"{what} {found.status}"] += 1
        if found.status == 200:
            self._journal.saw_answer(self._conversation, self._ask, found.body)
        if found.status == 404 and not (self._lagging or self._conversation.deleted):
            self._journal.find("lost", f"{what} {paused['turn_id']}: {found}")
        if found.status == 500 or (found.status == 422 and found.body["type"] != "content_filtered"):
            self._journal.find("error", f"{what} {paused['turn_id']}: {found}")
        return found.status in (200, 202, 409, 422)


def _orders(paused: dict[str, Any]) -> set[str]:
    """Return what a paused answer asks to pay for."""
    return {call["arguments"]["order"] for call in paused["tool_calls"] if call["status"] == "open"}
