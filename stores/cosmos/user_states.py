"""The state of owners in Cosmos DB: one document beside the rows of the owner's threads."""

from __future__ import annotations

import uuid

from errors import StateChanged
from models import Owner, UserState
from stores.cosmos.container import CosmosContainer, PreconditionFailed
from stores.cosmos.documents import VERSION, Document
from stores.cosmos.operations import create, patch_unchanged
from stores.cosmos.patch import changes

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
        fields = {**state.model_dump(mode="json"), "write_id": uuid.uuid4().hex}
        identity = {"id": USER_STATE_ID, "owner_id": owner.hash, "type": "user_state", "v": VERSION}
        if state.etag is None:
            write = create({**fields, **identity})
        else:
            # Units were a field of their own once, and would come back as a preference.
            write = patch_unchanged(USER_STATE_ID, changes(**fields, units=None), state.etag)
        try:
            (stored,) = await self._threads.batch(owner.hash, [write])
        except PreconditionFailed as refused:
            found = await self._threads.read(owner.hash, USER_STATE_ID)
            # Our own write may have been applied although its answer was lost; sent again, it is refused.
            if found is None or found["write_id"] != fields["write_id"]:
                raise StateChanged from refused
            stored = found
        return _state(stored)


def _state(document: Document) -> UserState:
    return UserState.model_validate({**document, "etag": document["_etag"]})
