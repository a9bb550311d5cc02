"""Everything of an owner, record by record: in constant memory, whatever its size."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass

from data_rights.lines import EndLine, ErrorLine, MessageLine, OwnerLine, ThreadLine, TurnLine, UserStateLine
from errors import ChatError, InternalError, ThreadNotFound
from models import Owner, Problem, message_seq, utcnow
from stores.contract import ThreadStore

THREADS_AT_ONCE = 100
MESSAGES_AT_ONCE = 100
TURNS_AT_ONCE = 200
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """How much has been exported."""

    threads: int = 0
    messages: int = 0


async def export_lines(store: ThreadStore, owner: Owner, request_id: str | None) -> AsyncGenerator[bytes]:
    """Return the lines of an export, as they are read: ``owner``; ``user_state``, if there is one; per thread ``thread``,
    ``message``s, ``turn``s; ``end``.

    What is created meanwhile may be missing, what is deleted meanwhile may end half-way. An error in between is the last line,
    ``error``; a file without ``end`` is not complete.

    :raises ChatError: before the first line, if the store does not answer.
    """
    first = await store.list_thread_ids(owner, limit=THREADS_AT_ONCE, after=None)
    return with_error_line(_lines(store, owner, first), request_id)


async def with_error_line(lines: AsyncIterator[bytes], request_id: str | None) -> AsyncGenerator[bytes]:
    """Yield an export's lines; an error on the way is the last one, ``error``."""
    try:
        async for line in lines:
            yield line
    except ChatError as error:
        logger.warning("export stopped half-way", exc_info=True)
        yield ErrorLine(problem=Problem.of(error, request_id)).to_json()
    except Exception:
        logger.exception("export failed half-way")
        yield ErrorLine(problem=Problem.of(InternalError(), request_id)).to_json()


async def _lines(store: ThreadStore, owner: Owner, first: list[str]) -> AsyncIterator[bytes]:
    counts = Counts()
    yield OwnerLine(tenant=owner.tenant, user=owner.user, exported_at=utcnow()).to_json()
    state = await store.get_user_state(owner)
    if state.etag is not None:
        yield UserStateLine(user_state=state).to_json()
    async for thread_id in _thread_ids(store, owner, first):
        async for line in _thread_lines(store, owner, thread_id, counts):
            yield line
    yield EndLine(threads=counts.threads, messages=counts.messages).to_json()


async def _thread_ids(store: ThreadStore, owner: Owner, page: Sequence[str]) -> AsyncIterator[str]:
    while page:
        for id in page:
            yield id
        page = await store.list_thread_ids(owner, limit=THREADS_AT_ONCE, after=page[-1])


async def _thread_lines(store: ThreadStore, owner: Owner, thread_id: str, counts: Counts) -> AsyncIterator[bytes]:
    """Yield a thread's lines, several messages at a time; nothing more once it has been deleted."""
    try:
        yield ThreadLine(thread=await store.get_thread(owner, thread_id)).to_json()
        counts.threads += 1
        after: int | None = None
        while True:
            page = await store.list_messages(owner, thread_id, limit=MESSAGES_AT_ONCE, after=after, before=None, order="asc")
            if page.items:
                counts.messages += len(page.items)
                yield b"".join(MessageLine(message=message).to_json() for message in page.items)
            if page.next_cursor is None:
                break
            after = message_seq(thread_id, page.next_cursor)
        turn_id: str | None = None
        while turns := await store.list_turns(owner, thread_id, limit=TURNS_AT_ONCE, after=turn_id):
            yield b"".join(TurnLine(turn=turn).to_json() for turn in turns)
            turn_id = turns[-1].id
    except ThreadNotFound:
        logger.info("thread %s was deleted while it was exported", thread_id)
