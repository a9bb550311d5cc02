"""What requests cost on the fake Cosmos DB, in request units (RU).

A model fitted to charges of a real account: a write costs by the document's size and by how many of its values are indexed, a
read by size, a query by rows and by what they weigh.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

WRITE, WRITE_PER_KB, PER_INDEXED_VALUE = 5.2, 0.45, 0.3
# A replacement, or a patch, which is one: the old version leaves the index, too.
REWRITE = 1.67
READ, READ_PER_KB = 1.0, 1 / 11
QUERY, PER_ROW, QUERY_PER_KB = 2.23, 0.013, 0.05
# Of a write whose precondition does not hold: the document was looked at.
REFUSED = 1.0


def write_charge(kind: str, document: dict[str, Any], indexed: Sequence[str]) -> float:
    """Return what an operation costs that leaves, or deletes, a document in a container with these indexed paths."""
    if kind == "Read":
        return read_charge(document)
    charge = WRITE + WRITE_PER_KB * _kilobytes(document) + PER_INDEXED_VALUE * indexed_values(document, indexed)
    return charge * REWRITE if kind in ("Replace", "Patch") else charge


def read_charge(document: dict[str, Any]) -> float:
    """Return what a point read costs."""
    return READ + READ_PER_KB * max(0.0, _kilobytes(document) - 1)


def query_charge(rows: Sequence[Any]) -> float:
    """Return what a page of a query's rows costs."""
    return QUERY + PER_ROW * len(rows) + QUERY_PER_KB * (_kilobytes(rows) if rows else 0)


def indexed_values(document: dict[str, Any], indexed: Sequence[str]) -> int:
    """Return how many of a document's values an indexing policy's included paths hold; ``/*`` are all."""
    own = {name: value for name, value in document.items() if name != "id" and not name.startswith("_")}
    return sum("/*" in indexed or f"{path}/?" in indexed for path in _leaves("", own))


def _leaves(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        parts: Iterable[tuple[str, Any]] = value.items() if isinstance(value, dict) else (("[]", each) for each in value)
        for name, part in parts:
            yield from _leaves(f"{path}/{name}", part)
    else:
        yield path


def _kilobytes(value: Any) -> float:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")) / 1024
