"""The containers of the Cosmos DB store, and what of their documents is indexed: ``infra/`` makes the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models import AUTHOR_ID
from stores.types import TEAM_KEY


@dataclass(frozen=True, slots=True)
class ContainerDefinition:
    """A container as it must exist: its id, its partition key's path, and the only paths that are indexed.

    ``default_ttl`` of -1 lets documents that carry a ``ttl`` expire, and no others.
    """

    id: str
    partition_key: str
    indexed: tuple[str, ...]
    default_ttl: int | None = None

    @property
    def indexing_policy(self) -> dict[str, Any]:
        """The policy as Cosmos DB takes it: each further indexed path would make every write cost more."""
        return {
            "indexingMode": "consistent",
            "automatic": True,
            "includedPaths": [{"path": path} for path in self.indexed],
            "excludedPaths": [{"path": "/*"}],
        }


# The partition key, as the service has its queries look for it; then paths that few kinds of documents have, and the others pay
# nothing for. What a document is stands in its id, which is always indexed: see :func:`kind`.
MESSAGES = ContainerDefinition(
    "messages",
    "/thread_id",
    (
        "/thread_id/?",
        "/seq/?",
        "/owner_hash/?",
        "/tenant/?",
        "/marked/?",
        f"/metadata/{AUTHOR_ID}/?",
        f"/lease/message/metadata/{AUTHOR_ID}/?",
        f"/metadata/{TEAM_KEY}/?",
    ),
    default_ttl=-1,
)
THREADS = ContainerDefinition(
    "threads", "/owner_id", ("/owner_id/?", "/sort/?", "/status/?", "/deleting/?", "/open/turn_id/?"), default_ttl=-1
)
CONTAINERS = (MESSAGES, THREADS)


def kind(prefix: str) -> str:
    """Return the condition of queries that a document's id begins with ``msg``, ``turn``, … and ``_``."""
    return f"c.id > '{prefix}_' AND c.id < '{prefix}~'"
