"""Looking once more before something is said not to be there: another process may just have made it, and a replica lag."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from errors import ErasureNotFound, ThreadNotFound, TurnNotFound
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.patch import changes, condition

R = TypeVar("R")


async def find(container: CosmosContainer, partition: str, id: str, look: Callable[[], Awaitable[R]]) -> R:
    """Return what ``look`` finds in a partition, of which ``id`` is a document; all that is committed before is found.

    Whatever is found at once costs nothing more. Else a patch that cannot hold is sent, to any document, whether it is there or
    not: its refusal, for about 1 RU, comes from the newest replica and says how far that is; the second look reads up to there.

    :raises ErasureNotFound, ThreadNotFound, TurnNotFound: as ``look`` does, the second time.
    """
    try:
        return await look()
    except (ErasureNotFound, ThreadNotFound, TurnNotFound):
        with suppress(PreconditionFailed):
            await container.patch(partition, id, changes(type=None), condition(id=None))
    return await look()
