"""Reading documents that another release has written: while a deployment rolls, older and newer instances share them.

Fields that are not known are ignored, and stay in the document, as documents are patched and never overwritten. A status that
a newer release has added is read as the nearest that is known here; what is written back is never made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from errors import ThreadNotFound
from models import Erasure, Message, Owner, Thread
from records import Record
from stores.cosmos.documents import Document, ThreadDocument, TurnDocument

R = TypeVar("R", bound=Record)
# By the names of fields that have few values: what stands for one that is not known.
NEAREST: Mapping[type[Record], Mapping[str, Any]] = MappingProxyType(
    {
        Erasure: {"status": "running"},
        Message: {
            "status": "interrupted",
            "role": "assistant",
            "feedback": None,
            "tool_calls.status": "unknown",
            "tool_calls.awaits": None,
        },
        Thread: {"status": "active"},
        ThreadDocument: {"lease.calls.status": "unknown", "lease.calls.awaits": None},
        TurnDocument: {"status": "interrupted"},
    }
)


def as_record(record: type[R], document: Document) -> R:
    """Return what a document holds.

    :raises ValidationError: for one that no release has written.
    """
    try:
        return record.model_validate(document)
    except ValidationError as invalid:
        nearest, read = NEAREST.get(record, {}), deepcopy(document)
        for error in invalid.errors():
            if error["type"] != "literal_error" or not _replace(read, error["loc"], nearest):
                raise
        return record.model_validate(read)


def _replace(document: Document, place: Sequence[str | int], nearest: Mapping[str, Any]) -> bool:
    """Replace the field at a place in a document, or the one around it, by what stands for it; ``False`` if nothing does."""
    for end in range(len(place), 0, -1):
        name = ".".join(each for each in place[:end] if isinstance(each, str))
        if name in nearest:
            parent: Any = document
            for each in place[: end - 1]:
                parent = parent[each]
            parent[place[end - 1]] = nearest[name]
            return True
    return False


def require_owned(owner: Owner, thread_id: str, found: Document | None) -> ThreadDocument:
    """Return the thread in its document, as it was read.

    :raises ThreadNotFound: if there is none, or it is another owner's, or about to be deleted.
    """
    document = as_record(ThreadDocument, found) if found else None
    if document is None or document.owner_hash != owner.hash or document.deleting:
        raise ThreadNotFound(thread_id)
    return document
