"""The operations of a batch, as the SDK takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

from stores.cosmos.documents import Document


class Operation(NamedTuple):
    """One operation."""

    kind: str
    arguments: tuple[Any, ...]
    options: dict[str, str]


def create(document: Document) -> Operation:
    """Return the operation that stores a new document."""
    return Operation("create", (document,), {})


def patch(id: str, operations: list[Document], condition: str | None = None) -> Operation:
    """Return the operation that changes fields of a document if the condition holds."""
    return Operation("patch", (id, operations), {"filter_predicate": condition} if condition else {})


def patch_unchanged(id: str, operations: list[Document], etag: str) -> Operation:
    """Return the operation that changes fields of a document which has not changed since it was read."""
    return Operation("patch", (id, operations), {"if_match_etag": etag})


def delete(id: str) -> Operation:
    """Return the operation that removes a document."""
    return Operation("delete", (id,), {})


def delete_unchanged(id: str, etag: str) -> Operation:
    """Return the operation that removes a document which has not changed since it was read."""
    return Operation("delete", (id,), {"if_match_etag": etag})


def read(id: str) -> Operation:
    """Return the operation that lets the batch through only if the document is there."""
    return Operation("read", (id,), {})
