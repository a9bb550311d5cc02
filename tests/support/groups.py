"""Conversations of several, as tests of stores and of authors' data have them."""

from __future__ import annotations

from models import Message, Owner, new_id
from stores.contract import ThreadStore
from stores.types import NewMessage, StartedTurn
from tests.support.stores import begin, end

GROUP = Owner("bot:acme", "c" * 64)


def asked_by(author: str, content: str | None = None) -> NewMessage:
    return NewMessage(new_id("turn"), content or f"{author} asks", {"author_id": author})


async def say(
    store: ThreadStore, thread_id: str, author: str, content: str | None = None, *, owner: Owner = GROUP
) -> StartedTurn:
    """Begin a turn with a message of one of several."""
    return await begin(store, thread_id, asked_by(author, content), owner=owner)


async def answered(store: ThreadStore, thread_id: str, author: str = "bob", *, owner: Owner = GROUP) -> Message:
    """Run a whole turn for one of several; return the reply."""
    reply = await end(store, await say(store, thread_id, author, owner=owner), content=f"to {author}")
    assert reply
    return reply
