"""Bringing one message to the API as a good client does: again with the same Idempotency-Key, until there is an answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Literal

from tests.programs.chaos.caller import Answer, Caller, Unreachable
from tests.programs.chaos.events import Reading, read_events
from tests.programs.chaos.journal import Ask, Conversation, Journal

How = Literal["json", "sse", "ndjson", "async, followed", "async, polled"]
HOWS: tuple[How, ...] = ("json", "sse", "ndjson", "async, followed", "async, polled")
ACCEPT = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
RETRIED = (409, 429, 502, 503, 504)
REFUSALS = ("content_filtered",)
MAX_WAIT_SECONDS = 75.0
POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Retry:
    """Not yet: to be sent again after a while."""

    seconds: float = 0.2


class Delivery:
    """One client's way with one message."""

    def __init__(self, caller: Caller, journal: Journal, conversation: Conversation, ask: Ask, *, lagging: bool) -> None:
        self._caller = caller
        self._journal = journal
        self._conversation = conversation
        self._ask = ask
        self._lagging = lagging
        self._path = f"/api/threads/{conversation.id}"
        self._cancelling: asyncio.Task[None] | None = None
        self.cancel_after: float | None = None

    async def until_answered(self, how: How) -> None:
        """Send the message until it is answered or refused; without a key only once."""
        started = time.monotonic()
        while True:
            try:
                outcome = await self._attempt(how)
            except Unreachable:
                outcome = Retry()
            waited = time.monotonic() - started
            self._journal.longest_wait = max(self._journal.longest_wait, waited)
            if outcome is None:
                self._ask.settled = True
            if outcome is None or self._ask.key is None:
                return
            if waited > MAX_WAIT_SECONDS:
                self._journal.find("stuck", f"{self._ask.content!r} not answered in {waited:.0f} s")
                return
            await asyncio.sleep(min(outcome.seconds, 2) * self._caller.chance.uniform(0.5, 1))

    async def _attempt(self, how: How) -> Retry | None:
        headers = {"Idempotency-Key": self._ask.key} if self._ask.key else {}
        headers["Accept"] = ACCEPT.get(how, "application/json")
        if how.startswith("async"):
            headers["Prefer"] = "respond-async"
        body = {"content": self._ask.content}
        if how in ACCEPT:
            return await self._stream(body, headers)
        return await self._judge(
            await self._caller.send(self._conversation.owner, "POST", f"{self._path}/messages", body, headers), how
        )

    async def _judge(self, answer: Answer, how: How = "json") -> Retry | None:
        body: Any = answer.body
        if answer.status == 200:
            self._journal.saw_answer(self._conversation, self._ask, body)
            return None
        if answer.status == 202:
            self._ask.accepted = True
            self._saw_turn(body["id"])
            return await (self._follow(body["id"], Reading()) if how == "async, followed" else self._poll(body["id"]))
        self._journal.answers[f"{answer.status} {body.get('type') if isinstance(body, dict) else body}"] += 1
        if answer.status in RETRIED:
            return Retry(float(answer.headers.get("retry-after", 0.2)))
        return self._problem(body)

    def _problem(self, problem: dict[str, Any]) -> Retry | None:
        if problem["type"] in REFUSALS:
            self._ask.refused = problem["type"]
            return None
        if problem.get("status") not in RETRIED:
            self._journal.find("error", f"{self._ask.content!r}: {problem}")
        return Retry(float(problem.get("retry_after") or 0.2))

    async def _stream(self, body: Any, headers: dict[str, str]) -> Retry | None:
        reading = Reading()
        try:
            path = f"{self._path}/messages"
            async with self._caller.open(self._conversation.owner, "POST", path, body, headers) as response:
                if response.status != 200:
                    found = Answer(response.status, await response.json(content_type=None), dict(response.headers))
                    return await self._judge(found)
                await self._read(response.content, reading)
        except Unreachable:
            if reading.turn_id is None or self._caller.chance.random() < 0.4:
                raise
        return await self._follow(reading.turn_id or "", reading)

    async def _read(self, lines: Any, reading: Reading) -> None:
        async for event in read_events(lines):
            reading.add(event)
            self._saw_turn(event["turn_id"])
            self._journal.saw_text(self._conversation, str(event))
        if reading.final is None:
            self._journal.find("wrong", f"a stream of turn {reading.turn_id} ended without a final event")

    async def _follow(self, turn_id: str, reading: Reading) -> Retry | None:
        """Read a turn's events to the end, over as many connections as it takes."""
        while reading.final is None:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(reading.position)}
            try:
                path = f"{self._path}/turns/{turn_id}/events"
                async with self._caller.open(self._conversation.owner, "GET", path, None, headers) as response:
                    if response.status == 200:
                        await self._read(response.content, reading)
                    else:
                        await self._look_again(response.status, f"events of {turn_id} behind {reading.position}")
            except Unreachable:
                await asyncio.sleep(POLL_SECONDS)
        for wrong in reading.wrong:
            self._journal.find("wrong", wrong)
        final = reading.final
        self._journal.saw_final(self._conversation, final["turn_id"], final["type"])
        if "message" in final:
            self._journal.saw_answer(self._conversation, self._ask, final["message"])
            return None
        return self._problem(final["problem"])

    async def _poll(self, turn_id: str) -> Retry | None:
        """Ask how a turn stands until it has ended."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                found = await self._caller.send(self._conversation.owner, "GET", f"{self._path}/turns/{turn_id}")
            except Unreachable:
                continue
            if found.status != 200:
                await self._look_again(found.status, f"turn {turn_id}")
            elif found.body["status"] != "running":
                break
        ends = {"completed": "message.completed", "cancelled": "turn.cancelled", "paused": "turn.paused"}
        self._journal.saw_final(self._conversation, turn_id, ends.get(found.body["status"], "turn.failed"))
        if "message" in found.body:
            self._journal.saw_answer(self._conversation, self._ask, found.body["message"])
            return None
        return self._problem(found.body["problem"])

    async def _look_again(self, status: int, what: str) -> None:
        """Wait, if the status may pass: another process's writes may be on their way to the replica that was asked."""
        if status != 503 and not (status == 404 and self._lagging):
            self._journal.find("lost", f"{what}: {status}")
        await asyncio.sleep(POLL_SECONDS)

    def _saw_turn(self, turn_id: str) -> None:
        if turn_id not in self._ask.turns:
            self._ask.turns.add(turn_id)
            if self.cancel_after is not None and self._cancelling is None:
                self._cancelling = asyncio.create_task(self._cancel(turn_id, self.cancel_after))

    async def _cancel(self, turn_id: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            found = await self._caller.send(self._conversation.owner, "POST", f"{self._path}/turns/{turn_id}/cancel")
        except Unreachable:
            return
        self._journal.answers[f"cancel {found.status}"] += 1
        gone = found.status == 404 and (self._lagging or self._conversation.deleted)
        if found.status not in (202, 409, 503) and not gone:
            self._journal.find("error", f"cancelling {turn_id}: {found}")
