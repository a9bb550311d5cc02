"""Reading documents that another release has written: while a deployment rolls, older and newer instances share them.

Fields that are not known are ignored, and stay in the document, as documents are patched and never overwritten. A status that
a newer release has added is read as the nearest that is known here; what is written back is never made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from errors import ThreadNotFound
from models import Erasure, Message, Owner, Thread
from records import Record
from stores.cosmos.documents import Document, ThreadDocument, TurnDocument

R = TypeVar("R", bound=Record)
# By the record's fields, which have few values: what stands for one that is not known.
NEAREST: Mapping[type[Record], Mapping[str, Any]] = MappingProxyType(
    {
        Erasure: {"status": "running"},
        Message: {"status": "interrupted", "role": "assistant", "feedback": None},
        Thread: {"status": "active"},
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
        unknown = {str(each["loc"][0]) for each in invalid.errors() if each["type"] == "literal_error"}
        nearest = {name: value for name, value in NEAREST.get(record, {}).items() if name in unknown}
        if not nearest:
            raise
        return record.model_validate({**document, **nearest})


def require_owned(owner: Owner, thread_id: str, found: Document | None) -> ThreadDocument:
    """Return the thread in its document, as it was read.

    :raises ThreadNotFound: if there is none, or it is another owner's, or about to be deleted.
    """
    document = as_record(ThreadDocument, found) if found else None
    if document is None or document.owner_hash != owner.hash or document.deleting:
        raise ThreadNotFound(thread_id)
    return document
