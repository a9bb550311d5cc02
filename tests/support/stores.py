"""The stores under test, and how the contract suite speaks to them.

With ``COSMOS_TEST_ENDPOINT`` and ``COSMOS_TEST_KEY`` in the environment the Cosmos DB store runs against that account, in a
database of its own that is removed afterwards; else against the fake.
"""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from azure.cosmos.aio import CosmosClient
from redis.asyncio import Redis

from cosmos_store import CosmosStore
from models import Message, Owner, TurnStatus, message_id, new_id, utcnow
from stores.contract import ThreadStore
from stores.cosmos.definitions import CONTAINERS
from stores.cosmos.documents import message_document
from stores.cosmos.operations import create
from stores.cosmos.retries import RetryPolicy
from stores.cosmos.rows import ROW_SECONDS
from stores.limits import StoreLimits
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage, StartedTurn, TurnEnd
from tests.fakes.cosmos import KEY, FakeCosmos

ANN = Owner("acme", "ann")
BOB = Owner("acme", "bob")
# When the lease of a turn that began has expired.
LATER = timedelta(seconds=31)
SEED_BATCH = 99
DATABASE = "chat_test"
NO_LIMITS = StoreLimits()
QUICK = RetryPolicy(backoff_seconds=0.001)


class Backend(Protocol):
    """Data that any number of stores can be opened on."""

    def new(self, limits: StoreLimits = NO_LIMITS) -> ThreadStore:
        """Return another store on the data, not yet entered."""

    async def seed(self, thread_id: str, count: int) -> None:
        """Fill an empty thread with completed messages, quickly."""

    async def everything(self) -> str:
        """Return all that is stored, down to the bytes where there is a file."""


class SqliteBackend:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def new(self, limits: StoreLimits = NO_LIMITS) -> ThreadStore:
        return SqliteStore(self._path, limits=limits)

    async def seed(self, thread_id: str, count: int) -> None:
        rows = [(thread_id, each.seq, each.model_dump_json()) for each in some_messages(thread_id, count)]
        with closing(sqlite3.connect(self._path)) as db, db:
            db.executemany("INSERT INTO messages VALUES (?, ?, ?)", rows)
            db.execute("UPDATE threads SET last_seq = ? WHERE id = ?", (count, thread_id))

    async def everything(self) -> str:
        files = sorted(self._path.parent.glob(f"{self._path.name}*"))
        return "".join(path.read_bytes().decode(errors="replace") for path in files)


class CosmosBackend:
    """A database of a Cosmos DB account; ``fake`` is the account, unless it is a real one."""

    def __init__(self, endpoint: str, key: str, database: str, fake: FakeCosmos | None = None) -> None:
        self._account = (endpoint, key, database)
        self._fake = fake
        # Of the stores that are opened from then on.
        self.cache_bytes = 0
        self.redis: Redis | None = None

    @property
    def fake(self) -> FakeCosmos:
        """The fake account."""
        assert self._fake is not None
        return self._fake

    def new(
        self, limits: StoreLimits = NO_LIMITS, retries: RetryPolicy | None = None, *, row_seconds: float = ROW_SECONDS
    ) -> CosmosStore:
        endpoint, key, database = self._account
        retries = retries or (QUICK if self._fake else RetryPolicy())
        return CosmosStore(
            endpoint,
            database=database,
            credential=key,
            limits=limits,
            retries=retries,
            row_seconds=row_seconds,
            cache_bytes=self.cache_bytes,
            redis=self.redis,
        )

    async def seed(self, thread_id: str, count: int) -> None:
        endpoint, key, database = self._account
        documents = [message_document(each) for each in some_messages(thread_id, count)]
        async with CosmosClient(endpoint, key) as client:
            container = client.get_database_client(database).get_container_client("messages")
            for start in range(0, count, SEED_BATCH):
                batch = [create(document) for document in documents[start : start + SEED_BATCH]]
                await container.execute_item_batch(batch, thread_id)
            await container.patch_item(thread_id, thread_id, [{"op": "set", "path": "/last_seq", "value": count}])

    async def everything(self) -> str:
        endpoint, key, database = self._account
        documents = []
        async with CosmosClient(endpoint, key) as client:
            for definition in CONTAINERS:
                container = client.get_database_client(database).get_container_client(definition.id)
                documents += [document async for document in container.query_items("SELECT * FROM c")]
        return json.dumps(documents, ensure_ascii=False)


@asynccontextmanager
async def cosmos_backend() -> AsyncIterator[CosmosBackend]:
    """Serve a Cosmos DB account: the one in the environment, or a fake."""
    endpoint = os.environ.get("COSMOS_TEST_ENDPOINT")
    if endpoint is None:
        async with FakeCosmos() as fake:
            yield CosmosBackend(fake.endpoint, KEY, DATABASE, fake)
        return
    key, database = os.environ["COSMOS_TEST_KEY"], f"{DATABASE}_{uuid.uuid4().hex}"
    try:
        yield CosmosBackend(endpoint, key, database)
    finally:
        async with CosmosClient(endpoint, key) as client:
            await client.delete_database(database)


def ask(content: str = "What is 2 + 2?", *, key: str | None = None, turn_id: str | None = None) -> NewMessage:
    """Return a message that asks for a turn."""
    return NewMessage(turn_id or new_id("turn"), content, {"lang": "en"}, key)


async def begin(
    store: ThreadStore,
    thread_id: str,
    new: NewMessage | None = None,
    *,
    lease: float = 30,
    history: int = 40,
    owner: Owner = ANN,
) -> StartedTurn:
    """Begin a turn that is not a replay."""
    started = await store.begin_turn(owner, thread_id, new or ask(), lease_seconds=lease, history_limit=history)
    assert isinstance(started, StartedTurn)
    return started


def answer(turn: StartedTurn, content: str = "4", status: TurnStatus = "completed") -> Message:
    """Return the reply to a turn's message."""
    return Message(
        id=message_id(turn.thread.id, turn.reply_seq),
        thread_id=turn.thread.id,
        seq=turn.reply_seq,
        role="assistant",
        content=content,
        timestamp=utcnow(),
        status=status,
        turn_id=turn.turn_id,
    )


async def end(
    store: ThreadStore, turn: StartedTurn, status: TurnStatus = "completed", *, content: str | None = "4"
) -> Message | None:
    """Commit a turn, with a reply unless ``content`` is ``None``; return the reply."""
    reply = None if content is None else answer(turn, content, status)
    message = turn.message.model_copy(update={"status": status})
    await store.commit_turn(turn, TurnEnd(message=message, reply=reply, final_event_id=9))
    return reply


async def talk(
    store: ThreadStore, thread_id: str, content: str = "What is 2 + 2?", *, key: str | None = None, owner: Owner = ANN
) -> Message:
    """Run a whole turn; return the reply."""
    reply = await end(store, await begin(store, thread_id, ask(content, key=key), owner=owner))
    assert reply is not None
    return reply


async def messages(store: ThreadStore, thread_id: str, owner: Owner = ANN) -> list[Message]:
    """Return all messages of a thread."""
    page = await store.list_messages(owner, thread_id, limit=1000, after=None, before=None, order="asc")
    assert page.next_cursor is None
    return page.items


async def states(store: ThreadStore, thread_id: str) -> list[tuple[int, str, str]]:
    """Return what a thread holds, as (seq, role, status)."""
    return [(each.seq, each.role, each.status) for each in await messages(store, thread_id)]


def some_messages(thread_id: str, count: int) -> list[Message]:
    """Return the messages of a long conversation."""
    return [
        Message(
            id=message_id(thread_id, seq),
            thread_id=thread_id,
            seq=seq,
            role="user" if seq % 2 else "assistant",
            content=f"message {seq}",
            timestamp=utcnow(),
            status="completed",
            turn_id="turn_" + "0" * 32,
        )
        for seq in range(1, count + 1)
    ]
