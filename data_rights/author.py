"""What one person wrote in conversations of several people, or thinks of answers there: exported, and erased in place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress

from data_rights.export import with_error_line
from data_rights.lines import AuthoredLine, AuthorFeedbackLine, AuthorLine, EndLine
from errors import ThreadNotFound
from models import AUTHOR_ID, Message, message_seq, utcnow
from stores.contract import ThreadStore
from stores.types import OwnedRef

MESSAGES_AT_ONCE = 100
PAUSE_SECONDS = 1.0


async def export_author_lines(store: ThreadStore, author_id: str) -> AsyncGenerator[bytes]:
    """Return the lines of an export: ``author``; of each thread the author's ``message``s and the replies to them, and their
    ``feedback``; ``end``.

    An error in between is the last line, ``error``; a file without ``end`` is not complete.

    :raises ChatError: before the first line, if the store does not answer.
    """
    threads = await store.threads_of_author(author_id)
    return with_error_line(_lines(store, author_id, threads), None)


async def _lines(store: ThreadStore, author_id: str, threads: Sequence[OwnedRef]) -> AsyncIterator[bytes]:
    yield AuthorLine(author_id=author_id, exported_at=utcnow()).to_json()
    count = 0
    for thread in threads:
        tenant, user = thread.owner
        with suppress(ThreadNotFound):
            async for message in _exchanges(store, thread, author_id):
                yield AuthoredLine(tenant=tenant, user=user, message=message).to_json()
                count += 1
            for each in await store.list_author_feedback(thread.owner, thread.id, author_id):
                line = AuthorFeedbackLine(tenant=tenant, user=user, message_id=each.message_id, feedback=each.feedback)
                yield line.to_json()
    yield EndLine(threads=len(threads), messages=count).to_json()


async def erase_author(store: ThreadStore, author_id: str, *, pause_seconds: float = PAUSE_SECONDS) -> int:
    """Erase what an author wrote, the replies to it and the author's feedback, to the end; return the number of messages.

    A turn that runs for one of the messages is waited for.

    :raises ChatError: if the store fails; called again, it goes on.
    """
    count = 0
    while True:
        again = False
        for thread in await store.threads_of_author(author_id):
            with suppress(ThreadNotFound):
                erased = await store.erase_exchanges(thread.owner, thread.id, author_id)
                count += erased.messages
                again = again or erased.unfinished
        if not again:
            return count
        await asyncio.sleep(pause_seconds)


async def _exchanges(store: ThreadStore, thread: OwnedRef, author_id: str) -> AsyncIterator[Message]:
    turns: set[str] = set()
    after: int | None = None
    while True:
        page = await store.list_messages(thread.owner, thread.id, limit=MESSAGES_AT_ONCE, after=after, before=None, order="asc")
        for message in page.items:
            if message.role == "user" and message.metadata.get(AUTHOR_ID) == author_id:
                turns.add(message.turn_id)
            if message.turn_id in turns or (message.status == "paused" and await _goes_on_to(store, thread, message, turns)):
                yield message
        if page.next_cursor is None:
            return
        after = message_seq(thread.id, page.next_cursor)


async def _goes_on_to(store: ThreadStore, thread: OwnedRef, paused: Message, turns: set[str]) -> bool:
    """Whether one of the turns has gone on with a paused answer, or with one that has."""
    turn_id: str | None = paused.turn_id
    while turn_id and turn_id not in turns:
        turn_id = (await store.get_progress(thread.owner, thread.id, turn_id, after=None)).turn.continued_by
    return turn_id is not None
