"""After a run: every thread is free, and what the API shows holds against what the clients know."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from stores.cosmos.rows import ROW_SECONDS
from tests.programs.chaos.caller import OWNERS, Caller, Unreachable
from tests.programs.chaos.delivery import Delivery
from tests.programs.chaos.invariants import check_row, check_thread, check_turn
from tests.programs.chaos.journal import Conversation, Journal
from tests.programs.chaos.plan import FREE_SECONDS

AT_ONCE = 8
# Rows of Cosmos DB are written behind: a busy thread's wait for their time, and are then on their way to lagging replicas.
SETTLE_SECONDS = ROW_SECONDS + 2
ATTEMPTS = 5


class Verification:
    """Looks at all that the clients have left."""

    def __init__(self, caller: Caller, journal: Journal) -> None:
        self._caller = caller
        self._journal = journal
        self._alive = [each for each in journal.conversations if not each.deleted]

    async def run(self) -> None:
        """Look at the list, send every thread one more message, wait for what runs in the background, look at everything."""
        await self._look_at_list()
        await self._each(self._probe, self._alive)
        await asyncio.sleep(SETTLE_SECONDS)
        listed = await self._listed()

        async def look(conversation: Conversation) -> None:
            await self._look(conversation, listed)

        await self._each(look, self._alive)
        await self._each(self._look_for_deleted, [each for each in self._journal.conversations if each.deleted])

    async def _look_at_list(self) -> None:
        """Rows that a dead process has left behind catch up as soon as somebody looks at their threads."""
        threads: list[dict[str, Any]] = []

        async def read(conversation: Conversation) -> None:
            threads.append(await self._get(conversation.owner, f"/api/threads/{conversation.id}"))

        await self._each(read, self._alive)
        await asyncio.sleep(SETTLE_SECONDS)
        listed = await self._listed()
        for thread in threads:
            for kind, what in check_row(thread, listed[thread["id"]]):
                self._journal.find(kind, what)

    async def _each(self, check: Callable[[Conversation], Awaitable[None]], conversations: Iterable[Conversation]) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(conversation: Conversation) -> None:
            async with places:
                await check(conversation)

        await asyncio.gather(*map(one, conversations))

    async def _probe(self, conversation: Conversation) -> None:
        """A thread that nobody talks in must take a message: at once, or when the lease of a dead process is over."""
        ask = conversation.ask(self._journal.next_number())
        delivery = Delivery(self._caller, self._journal, conversation, ask, lagging=False)
        try:
            async with asyncio.timeout(FREE_SECONDS):
                await delivery.until_answered("json")
        except TimeoutError:
            self._journal.find("stuck", f"thread {conversation.id} took no message for {FREE_SECONDS:g} s")

    async def _look(self, conversation: Conversation, listed: dict[str, list[dict[str, Any]]]) -> None:
        path = f"/api/threads/{conversation.id}"
        thread = await self._get(conversation.owner, path)
        messages: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self._get(conversation.owner, f"{path}/messages?limit=50{after}")
            messages += page["messages"]
            if page["next_cursor"] is None:
                break
            after = f"&after={page['next_cursor']}"
        self._journal.saw_text(conversation, str(messages))
        found = [*check_thread(conversation, thread, messages), *check_row(thread, listed[conversation.id])]
        turns = {turn for ask in conversation.asks for turn in ask.turns} | {each["turn_id"] for each in messages}
        for turn_id in turns:
            turn = await self._get(conversation.owner, f"{path}/turns/{turn_id}")
            found += check_turn(turn, self._journal.finals.get(turn_id, set()))
        for kind, what in found:
            self._journal.find(kind, what)

    async def _look_for_deleted(self, conversation: Conversation) -> None:
        answer = await self._caller.send(conversation.owner, "GET", f"/api/threads/{conversation.id}")
        if answer.status != 404:
            self._journal.find("wrong", f"thread {conversation.id} is deleted and answers {answer.status}")

    async def _listed(self) -> dict[str, list[dict[str, Any]]]:
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for owner in range(len(OWNERS)):
            cursor = ""
            while True:
                page = await self._get(owner, f"/api/threads?limit=100{cursor}")
                for row in page["threads"]:
                    rows[row["id"]].append(row)
                    if row["title"] != f"owner-{owner}":
                        self._journal.find("mixed up", f"owner {owner} has the thread {row}")
                if page["next_cursor"] is None:
                    break
                cursor = f"&cursor={page['next_cursor']}"
        return rows

    async def _get(self, owner: int, path: str) -> Any:
        for _ in range(ATTEMPTS):
            try:
                answer = await self._caller.send(owner, "GET", path)
            except Unreachable:
                await asyncio.sleep(0.5)
                continue
            if answer.status == 200:
                return answer.body
            await asyncio.sleep(0.5)
        raise RuntimeError(f"{path} of owner {owner}: {answer}")
