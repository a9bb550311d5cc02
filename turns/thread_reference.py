"""What callers may name a thread by: nothing, its id, or a session id of their own; the same text names the same everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from models import Owner
from stores.contract import ThreadStore

MAX_LENGTH = 255
ID_PREFIX = "thread_"


@dataclass(frozen=True, slots=True)
class ThreadReference:
    """What a caller names a thread by, checked; its thread is looked up, or made, when its turn may begin."""

    text: str | None

    @property
    def is_session_id(self) -> bool:
        """Whether it is a session id of the caller's own."""
        return self.text is not None and self.text != "" and not self.text.startswith(ID_PREFIX)


def check_reference(reference: str) -> str:
    """Return a reference that is one.

    :raises ValueError: if it is too long, blank, or has characters that cannot be seen.
    """
    if reference and (len(reference) > MAX_LENGTH or not reference.isprintable() or not reference.strip()):
        raise ValueError(f"must be 1 to {MAX_LENGTH} printable characters, not all of them blank")
    return reference


async def resolve_thread(store: ThreadStore, owner: Owner, reference: ThreadReference) -> str:
    """Return the id of the owner's thread that a reference names, which may be new.

    What begins with ``thread_`` is an id, and is not looked up here: the turn finds out whether it is the owner's.

    :raises ThreadDeleting, StoreError: as :meth:`ThreadStore.open_session_thread` does.
    """
    if not reference.text:
        return (await store.create_thread(owner, title=None, metadata={})).id
    if not reference.is_session_id:
        return reference.text
    return (await store.open_session_thread(owner, reference.text)).id
