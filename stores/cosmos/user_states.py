"""The state of owners in Cosmos DB: one document beside the rows of the owner's threads."""

from __future__ import annotations

import uuid

from errors import StateChanged
from models import Owner, UserState
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.documents import Document
from stores.cosmos.operations import create, replace_unchanged

USER_STATE_ID = "user_state"


class CosmosUserStates:
    """Reads and writes owners' state; the document's own ETag tells its versions apart."""

    def __init__(self, threads: CosmosContainer) -> None:
        self._threads = threads

    async def get(self, owner: Owner) -> UserState:
        """Do what :meth:`ThreadStore.get_user_state` promises."""
        found = await self._threads.read(owner.hash, USER_STATE_ID)
        return _state(found) if found else UserState()

    async def put(self, owner: Owner, state: UserState) -> UserState:
        """Do what :meth:`ThreadStore.put_user_state` promises."""
        document = {
            **state.model_dump(mode="json"),
            "id": USER_STATE_ID,
            "owner_id": owner.hash,
            "type": "user_state",
            "write_id": uuid.uuid4().hex,
        }
        write = create(document) if state.etag is None else replace_unchanged(document, state.etag)
        try:
            (stored,) = await self._threads.batch(owner.hash, [write])
        except PreconditionFailed as refused:
            found = await self._threads.read(owner.hash, USER_STATE_ID)
            # Our own write may have been applied although its answer was lost; sent again, it is refused.
            if found is None or found["write_id"] != document["write_id"]:
                raise StateChanged from refused
            stored = found
        return _state(stored)


def _state(document: Document) -> UserState:
    return UserState.model_validate({**document, "etag": document["_etag"]})
