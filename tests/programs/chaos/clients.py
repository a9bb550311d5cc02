"""The clients of a run: each makes threads, talks in them, and is as clumsy as clients are."""

from __future__ import annotations

import asyncio

import aiohttp

from tests.programs.chaos.caller import OWNERS, Answer, Caller, Unreachable
from tests.programs.chaos.deciding import Deciding
from tests.programs.chaos.delivery import HOWS, Delivery, How
from tests.programs.chaos.journal import Ask, Conversation, Journal
from tests.programs.chaos.plan import Plan
from tests.programs.chaos.processes import Server

MISCHIEF = ("none", "vanishes", "sends twice at once", "two turns at once", "cancels", "sends without a key")
WEIGHTS = (50, 10, 8, 8, 10, 4)


class Client:
    """One client after another, each with a thread of its own."""

    def __init__(
        self, number: int, plan: Plan, journal: Journal, session: aiohttp.ClientSession, servers: list[Server]
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._chance = plan.random("client", number)
        self._caller = Caller(session, servers, self._chance)

    async def run(self) -> None:
        """Talk until the run gets calm."""
        while not self._plan.calm:
            conversation = await self._begin()
            for _ in range(self._chance.randint(2, 12)):
                await self._say_something(conversation)
                if self._plan.calm:
                    return
                if self._chance.random() < 0.3:
                    await self._look_around(conversation)
            if self._chance.random() < 0.1:
                await self._delete(conversation)

    async def _begin(self) -> Conversation:
        owner = self._chance.randrange(len(OWNERS))
        made = await self._insist(owner, "POST", "/api/threads", {"title": f"owner-{owner}"}, expected=(201,))
        conversation = Conversation(made.body["id"], owner)
        self._journal.conversations.append(conversation)
        return conversation

    async def _say_something(self, conversation: Conversation) -> None:
        mischief = self._chance.choices(MISCHIEF, WEIGHTS)[0]
        if mischief != "none":
            self._plan.inject(f"client: {mischief}")
        ask = self._ask(conversation, with_key=mischief != "sends without a key")
        first, second = self._chance.choices(HOWS, k=2)
        if mischief == "sends twice at once":
            await asyncio.gather(self._deliver(conversation, ask, first), self._deliver(conversation, ask, second))
            return
        if mischief == "two turns at once":
            other = self._ask(conversation)
            await asyncio.gather(self._deliver(conversation, ask, first), self._deliver(conversation, other, second))
            return
        if mischief == "vanishes":
            await self._send_and_vanish(conversation, ask, first)
        cancel_after = self._chance.uniform(0, 1) if mischief == "cancels" else None
        await self._deliver(conversation, ask, second, cancel_after=cancel_after)

    def _ask(self, conversation: Conversation, *, with_key: bool = True) -> Ask:
        return conversation.ask(self._journal.next_number(), with_key=with_key)

    async def _deliver(self, conversation: Conversation, ask: Ask, how: How, *, cancel_after: float | None = None) -> None:
        delivery = self._delivery(conversation, ask)
        delivery.cancel_after = cancel_after
        await delivery.until_answered(how)
        for paused in [each for each in ask.answers.values() if each["status"] == "paused"]:
            await Deciding(self._caller, self._journal, conversation, ask, lagging=self._plan.store == "cosmos").decide(paused)

    def _delivery(self, conversation: Conversation, ask: Ask) -> Delivery:
        lagging = self._plan.store == "cosmos"
        return Delivery(self._caller, self._journal, conversation, ask, lagging=lagging)

    async def _send_and_vanish(self, conversation: Conversation, ask: Ask, how: How) -> None:
        sending = asyncio.create_task(self._delivery(conversation, ask).until_answered(how))
        await asyncio.wait((sending,), timeout=self._chance.uniform(0, 0.6))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    async def _look_around(self, conversation: Conversation) -> None:
        """Read the history, the list, or a thread of somebody else."""
        try:
            dice = self._chance.random()
            if dice < 0.6:
                await self._read_history(conversation)
            elif dice < 0.8:
                await self._read_list(conversation.owner)
            else:
                await self._read_anothers(conversation)
        except Unreachable:
            return

    async def _read_history(self, conversation: Conversation) -> None:
        found = await self._caller.send(conversation.owner, "GET", f"/api/threads/{conversation.id}/messages?limit=200")
        if found.status != 200:
            self._may_pass(found, f"history of {conversation.id}")
            return
        self._journal.saw_text(conversation, str(found.body))
        seqs = [message["seq"] for message in found.body["messages"]]
        if seqs != list(range(1, len(seqs) + 1)):
            self._journal.find("wrong", f"history of {conversation.id} has the numbers {seqs}")

    async def _read_list(self, owner: int) -> None:
        found = await self._caller.send(owner, "GET", "/api/threads?limit=100")
        if found.status != 200:
            self._may_pass(found, "list")
            return
        ids = [thread["id"] for thread in found.body["threads"]]
        if len(ids) != len(set(ids)):
            self._journal.find("doubled", f"a list of owner {owner} has a thread twice")
        if {thread["title"] for thread in found.body["threads"]} - {f"owner-{owner}"}:
            self._journal.find("mixed up", f"a list of owner {owner} has another's threads")

    async def _read_anothers(self, conversation: Conversation) -> None:
        other = (conversation.owner + 1) % len(OWNERS)
        path = self._chance.choice(("", "/messages"))
        found = await self._caller.send(other, "GET", f"/api/threads/{conversation.id}{path}")
        if found.status not in (404, 503):
            self._journal.find("mixed up", f"owner {other} reads {conversation.id}: {found}")

    async def _delete(self, conversation: Conversation) -> None:
        conversation.deleted = True
        await self._insist(conversation.owner, "DELETE", f"/api/threads/{conversation.id}", None, expected=(204, 404))

    async def _insist(self, owner: int, method: str, path: str, body: object, *, expected: tuple[int, ...]) -> Answer:
        """Send a request until it gets one of these answers."""
        while True:
            try:
                found = await self._caller.send(owner, method, path, body)
            except Unreachable:
                await asyncio.sleep(0.3)
                continue
            if found.status in expected:
                return found
            self._may_pass(found, f"{method} {path}")
            await asyncio.sleep(0.3)

    def _may_pass(self, found: Answer, what: str) -> None:
        lagging = self._plan.store == "cosmos"
        self._journal.answers[f"{found.status} {found.body.get('type')}"] += 1
        if found.status not in (409, 429, 503) and not (found.status == 404 and lagging):
            self._journal.find("lost" if found.status == 404 else "error", f"{what}: {found}")
