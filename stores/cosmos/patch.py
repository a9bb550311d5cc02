"""What goes into a patch of a Cosmos DB document: operations, and the condition that must hold."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from models import Owner, timestamp
from stores.cosmos.documents import Document, ThreadDocument, row_document

# Threads of before have no such field, and those in which nothing is open any more have null there.
NOT_OPEN = " AND NOT IS_DEFINED(c.open.turn_id)"
_ROW_FIELDS = ("title", "status", "metadata", "updated_at", "message_count", "last_message_preview", "rev", "sort", "open")


def changes(**fields: Any) -> list[Document]:
    """Return patch operations that set fields of a document (``a__b`` is field b of a); a time becomes text."""
    values = {name: timestamp(value) if isinstance(value, datetime) else value for name, value in fields.items()}
    return [{"op": "set", "path": f"/{name.replace('__', '/')}", "value": value} for name, value in values.items()]


def thread_changes(**fields: Any) -> list[Document]:
    """Return patch operations that set fields of a thread's document and raise its ``rev``."""
    return [*changes(**fields), {"op": "incr", "path": "/rev", "value": 1}]


def row_changes(document: ThreadDocument) -> list[Document]:
    """Return the patch that brings the row up to date with the thread."""
    row = row_document(document)
    return changes(**{name: row[name] for name in _ROW_FIELDS})


def condition(**equal: str | float | bool | None) -> str:
    """Return a patch's condition: these fields (``a__b`` is field b of a) have these values.

    :raises ValueError: for text that is no id or time of our own: conditions take no parameters, so nothing else may go in.
    """
    return "FROM c WHERE " + " AND ".join(f"c.{name.replace('__', '.')} = {_literal(value)}" for name, value in equal.items())


def of_incarnation(document: ThreadDocument, **equal: str | float | bool | None) -> str:
    """Return the condition that a document is this thread's, or its row, and not of one that was made anew under its id."""
    created_at = document.model_dump(mode="json", include={"created_at"})["created_at"]
    return condition(created_at=created_at, **equal)


def less_than(name: str, value: float) -> str:
    """Return what to append to a condition: the field is less than a number."""
    return f" AND c.{name} < {_literal(value)}"


def lease_is_free(owner: Owner) -> str:
    """Return the condition that the thread is the owner's and free for a turn, and that nothing is open in it."""
    return condition(owner_hash=owner.hash, deleting=False, lease=None) + NOT_OPEN


def _literal(value: str | float | bool | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9A-Za-z_:.+-]+", value):
            raise ValueError("neither an id nor a time of ours")
        return f"'{value}'"
    return repr(value)
