"""What callers may name a thread by: nothing, its id, or a session id of their own; the same text names the same everywhere."""

from __future__ import annotations

from models import Owner
from stores.contract import ThreadStore

MAX_LENGTH = 255
ID_PREFIX = "thread_"


def check_reference(reference: str) -> str:
    """Return a reference that is one.

    :raises ValueError: if it is too long, blank, or has characters that cannot be seen.
    """
    if reference and (len(reference) > MAX_LENGTH or not reference.isprintable() or not reference.strip()):
        raise ValueError(f"must be 1 to {MAX_LENGTH} printable characters, not all of them blank")
    return reference


async def resolve_thread(store: ThreadStore, owner: Owner, reference: str | None) -> str:
    """Return the id of the owner's thread that a checked reference names, which may be new.

    What begins with ``thread_`` is an id, and is not looked up here: the turn finds out whether it is the owner's.

    :raises ThreadDeleting, StoreError: as :meth:`ThreadStore.open_session_thread` does.
    """
    if not reference:
        return (await store.create_thread(owner, title=None, metadata={})).id
    if reference.startswith(ID_PREFIX):
        return reference
    return (await store.open_session_thread(owner, reference)).id
