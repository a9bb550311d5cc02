"""Erasures in Cosmos DB: documents beside the rows of the owner's threads, in the same partition.

The running one has a fixed id, so that there is never more than one. It counts a thread in the batch that takes the thread's
row away. Its end is a batch too: it goes and the receipt comes, if nothing has changed since nothing was found to be left.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta
from typing import Any, Literal

from errors import ErasureNotFound, StoreUnavailable
from models import ERASURE_ID_PATTERN, Erasure, Owner, new_id, utcnow
from records import Record
from stores.cosmos.container import CosmosContainer, PreconditionFailed, gather_pair
from stores.cosmos.deletion import CosmosDeletion
from stores.cosmos.documents import VERSION, Document, ThreadDocument, row_document
from stores.cosmos.operations import Operation, create, delete_unchanged, patch
from stores.cosmos.patch import changes, condition
from stores.cosmos.reading import as_record
from stores.cosmos.retries import MAX_ATTEMPTS
from stores.cosmos.user_states import USER_STATE_ID
from stores.owner_contract import RECEIPT_DAYS
from stores.types import OwnedRef

RUNNING_ID = "erasure"
MAX_ROWS = 100
ROWS = "SELECT TOP @limit c.id, c._etag FROM c WHERE c.deleting IN (true, false)"
# Whether they have a row or not; only thread documents have an owner.
DOCUMENTS = "SELECT * FROM c WHERE c.owner_hash = @owner"
RUNNING = "SELECT * FROM c WHERE c.id = @id"
# After so long, nobody is going to write the row of a new thread any more.
CREATION = timedelta(minutes=1)
logger = logging.getLogger(__name__)


class RunningErasure(Record):
    """The document of a running erasure; ``requests`` grows with everybody who asks for it."""

    id: Literal["erasure"] = "erasure"
    v: int = 0
    owner_id: str
    erasure_id: str
    tenant: str
    user: str
    threads: int
    started_at: datetime
    heartbeat: float
    requests: int

    @property
    def erasure(self) -> Erasure:
        """The erasure as callers see it."""
        return Erasure(id=self.erasure_id, status="running", threads=self.threads, started_at=self.started_at)


class CosmosErasures:
    """Begins, drives and ends erasures."""

    def __init__(self, messages: CosmosContainer, threads: CosmosContainer, deletion: CosmosDeletion) -> None:
        self._messages = messages
        self._threads = threads
        self._deletion = deletion

    async def begin(self, owner: Owner) -> Erasure:
        """Do what :meth:`ThreadStore.begin_erasure` promises."""
        new = RunningErasure(
            v=VERSION,
            owner_id=owner.hash,
            erasure_id=new_id("erasure"),
            tenant=owner.tenant,
            user=owner.user,
            threads=0,
            started_at=utcnow(),
            heartbeat=utcnow().timestamp(),
            requests=0,
        )
        for _ in range(MAX_ATTEMPTS):
            await self._threads.create(owner.hash, new.model_dump(mode="json"))
            try:
                # Whichever it is: one that was about to end must look once more.
                asked = [{"op": "incr", "path": "/requests", "value": 1}]
                found = await self._threads.patch(owner.hash, RUNNING_ID, asked)
            except PreconditionFailed:
                continue
            return as_record(RunningErasure, found).erasure
        raise StoreUnavailable

    async def get(self, owner: Owner, erasure_id: str) -> Erasure:
        """Do what :meth:`ThreadStore.get_erasure` promises."""
        known = re.fullmatch(ERASURE_ID_PATTERN, erasure_id)
        erasure = await self._find(owner, erasure_id) if known else None
        if known and erasure is None:
            await self._threads.catch_up(owner.hash, RUNNING_ID)
            erasure = await self._find(owner, erasure_id)
        if erasure is None:
            raise ErasureNotFound(erasure_id)
        return erasure

    async def _find(self, owner: Owner, erasure_id: str) -> Erasure | None:
        running, receipt = await gather_pair(
            self._threads.read(owner.hash, RUNNING_ID), self._threads.read(owner.hash, erasure_id)
        )
        if receipt and receipt.get("type") == "erasure":
            return as_record(Erasure, receipt)
        if running and running["erasure_id"] == erasure_id:
            return as_record(RunningErasure, running).erasure
        return None

    async def erase(self, owner: Owner, erasure_id: str, limit: int) -> bool:
        """Do what :meth:`ThreadStore.erase_threads` promises."""
        if await self._heartbeat(owner, erasure_id) is None:
            return False
        rows = await self._threads.query(owner.hash, ROWS, limit=limit)
        failure: Exception | None = None
        for row in rows:
            try:
                await self._deletion.erase(owner, row, _count(erasure_id))
            except Exception as error:
                logger.info("thread %s could not be erased", row["id"], exc_info=True)
                failure = error
        if failure:
            raise failure
        if rows:
            return True
        await self._threads.delete(owner.hash, USER_STATE_ID)
        return await self._erase_rowless(owner, limit)

    async def complete(self, owner: Owner, erasure_id: str) -> bool:
        """Do what :meth:`ThreadStore.complete_erasure` promises."""
        # This write also makes what follows see all that other processes have stored before it.
        found = await self._heartbeat(owner, erasure_id)
        if found is None:
            return True
        if await self._threads.query(owner.hash, ROWS, limit=1) or await self._documents(owner, 1):
            return False
        if await self._threads.read(owner.hash, USER_STATE_ID):
            return False
        end = [delete_unchanged(RUNNING_ID, found["_etag"]), create(_receipt(as_record(RunningErasure, found)))]
        try:
            await self._threads.batch(owner.hash, end)
        except PreconditionFailed:
            return False
        return True

    async def abandoned(self, stale_since: datetime) -> list[OwnedRef]:
        """Do what :meth:`ThreadStore.abandoned_erasures` promises."""
        rows = await self._threads.query_everywhere(RUNNING, limit=MAX_ROWS, id=RUNNING_ID)
        running = [as_record(RunningErasure, row) for row in rows]
        silent = [each for each in running if each.heartbeat < stale_since.timestamp()]
        return [OwnedRef(Owner(each.tenant, each.user), each.erasure_id) for each in silent]

    async def _heartbeat(self, owner: Owner, erasure_id: str) -> Document | None:
        """Say that somebody works on the erasure and return its document; ``None`` if it does not run any more."""
        now = changes(heartbeat=utcnow().timestamp())
        try:
            return await self._threads.patch(owner.hash, RUNNING_ID, now, condition(erasure_id=erasure_id))
        except PreconditionFailed:
            return None

    async def _documents(self, owner: Owner, limit: int) -> list[ThreadDocument]:
        rows = await self._messages.query_everywhere(DOCUMENTS, limit=limit, owner=owner.hash)
        return [as_record(ThreadDocument, row) for row in rows]

    async def _erase_rowless(self, owner: Owner, limit: int) -> bool:
        """Deal with documents of threads that are on no list, and return whether there was anything to do.

        One that is marked was stopped at the end of its deletion, and was counted. One that is not lost its process before
        its row was written: it gets a hidden one, and then is a thread like any other. One that is new is left in peace: its
        row is still coming, and must not come after the thread has gone.
        """
        documents = await self._documents(owner, limit)
        worked = False
        for document in documents:
            if document.deleting:
                await self._deletion.finish(document)
            elif document.created_at <= utcnow() - CREATION:
                await self._threads.create(owner.hash, {**row_document(document), "deleting": True})
            else:
                continue
            worked = True
        return worked


def _count(erasure_id: str) -> Operation:
    counted: list[Document] = [
        {"op": "incr", "path": "/threads", "value": 1},
        *changes(heartbeat=utcnow().timestamp()),
    ]
    return patch(RUNNING_ID, counted, condition(erasure_id=erasure_id))


def _receipt(running: RunningErasure) -> Document:
    receipt: dict[str, Any] = running.erasure.model_copy(update={"status": "completed", "ended_at": utcnow()}).model_dump(
        mode="json"
    )
    return {**receipt, "owner_id": running.owner_id, "type": "erasure", "v": VERSION, "ttl": RECEIPT_DAYS * 24 * 3600}
