"""Requests to one Cosmos DB container: each with a deadline, repeated while that may help, in the session of its partition.

The SDK's own re-sends are switched off where it allows that (see :mod:`stores.cosmos.connection`): what happens after a lost
answer is decided here and above. Every write that goes through here is conditional or has a deterministic id, so sending it
again is safe: it is refused if it had been applied, and the caller then looks at what is stored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

from errors import StoreMisconfigured, StoreUnavailable, ThreadFull
from stores.cosmos.documents import Document
from stores.cosmos.operations import Operation
from stores.cosmos.retries import TRANSIENT_STATUSES, RetryPolicy, retry_after
from stores.cosmos.sessions import SessionTokens
from stores.telemetry import StoreOperation, store_operation

A = TypeVar("A")
B = TypeVar("B")
R = TypeVar("R")
Options = dict[str, Any]
Send = Callable[[Options], Awaitable[R]]
logger = logging.getLogger(__name__)

REQUEST_CHARGE = "x-ms-request-charge"
SESSION_NOT_AVAILABLE = (404, 1002)
# A patch's condition that no document meets.
NEVER = "FROM c WHERE c.id = null"
CONTAINER_NOT_FOUND = (404, 1003)
PARTITION_FULL = (403, 1014)


class PreconditionFailed(Exception):
    """The write was not applied: 404 no such document, 409 it is there already, 412 its condition does not hold."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def gather_pair(first: Awaitable[A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Wait for both at the same time; if one fails, the other is stopped."""
    other = asyncio.create_task(second)
    try:
        return await first, await other
    finally:
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)


class TooLarge(Exception):
    """The request, or what it would leave, is larger than Cosmos DB takes."""


class CosmosContainer:
    """A container's requests.

    Every method raises :class:`~errors.StoreUnavailable` when repeating did not help,
    :class:`~errors.StoreMisconfigured` when access is denied or the container is missing, :class:`~errors.ThreadFull` when the
    partition has the 20 GB that one may have, and :class:`TooLarge`.
    """

    def __init__(self, proxy: ContainerProxy, retries: RetryPolicy) -> None:
        self._proxy = proxy
        self._retries = retries
        self._sessions = SessionTokens()

    async def read(self, partition: str, id: str) -> Document | None:
        """Return a document, or ``None`` if there is none."""

        async def send(options: Options) -> Document:
            item = await self._proxy.read_item(id, partition, **options)
            self._sessions.keep(partition, item.get_response_headers())
            return item

        try:
            return await self._send("read_item", partition, send, in_session=True)
        except PreconditionFailed:
            return None

    async def find(self, partition: str, id: str) -> Document | None:
        """Return a document as :meth:`read` does, but ``None`` only if there is none anywhere."""
        found = await self.read(partition, id)
        if found is None:
            await self.catch_up(partition, id)
            found = await self.read(partition, id)
        return found

    async def catch_up(self, partition: str, id: str) -> None:
        """Let the next reads see what other processes have written by now, on replicas that lag, too.

        A write that is refused, at about 1 RU, brings the session token of the partition's last write.
        """
        with suppress(PreconditionFailed):
            await self.patch(partition, id, [{"op": "set", "path": "/type", "value": None}], NEVER)

    async def query(self, partition: str, sql: str, **parameters: object) -> list[Document]:
        """Return all rows of a query within the partition, which names its parameters ``@name``."""

        async def send(options: Options) -> list[Document]:
            found = self._proxy.query_items(sql, parameters=_parameters(parameters), partition_key=partition, **options)
            pages = found.by_page()
            rows = [row async for page in pages async for row in page]
            self._sessions.keep(partition, found.get_response_headers())
            # It refers to itself, and so would keep the rows of thousands of queries until the garbage collector comes by.
            vars(pages).clear()
            return rows

        return await self._send("query_items", partition, send, in_session=True)

    async def count(self, partition: str, sql: str, **parameters: object) -> int:
        """Return what a query within the partition counts, which Cosmos DB may tell in parts."""
        parts: list[Any] = await self.query(partition, sql, **parameters)
        return sum(parts)

    async def query_everywhere(self, sql: str, *, limit: int, **parameters: object) -> list[Document]:
        """Return rows of a query in all partitions, at most ``limit``, as any replica has them.

        The query may have neither TOP nor ORDER BY, which Cosmos DB leaves to the SDK when there are several partitions.
        """

        async def send(options: Options) -> list[Document]:
            rows: list[Document] = []
            async for row in self._proxy.query_items(sql, parameters=_parameters(parameters), max_item_count=limit, **options):
                rows.append(row)
                if len(rows) == limit:
                    break
            return rows

        return await self._send("query_items", "", send)

    async def create(self, partition: str, document: Document) -> None:
        """Store a new document; one that is there already is taken for our own earlier attempt, so ids must be new.

        :raises PreconditionFailed: never for 409.
        """

        async def send(options: Options) -> None:
            item = await self._proxy.create_item(document, **options)
            self._sessions.keep(partition, item.get_response_headers())

        try:
            await self._send("create_item", partition, send)
        except PreconditionFailed as refused:
            if refused.status != 409:
                raise

    async def patch(self, partition: str, id: str, operations: list[Document], condition: str | None = None) -> Document:
        """Change fields of a document, if the condition holds, and return it.

        :raises PreconditionFailed: if there is no such document (404) or the condition does not hold (412).
        """

        async def send(options: Options) -> Document:
            item = await self._proxy.patch_item(id, partition, operations, filter_predicate=condition, **options)
            self._sessions.keep(partition, item.get_response_headers())
            return item

        return await self._send("patch_item", partition, send)

    async def delete(self, partition: str, id: str) -> None:
        """Remove a document, if it is there."""

        async def send(options: Options) -> None:
            await self._proxy.delete_item(id, partition, **options)

        try:
            await self._send("delete_item", partition, send)
        except PreconditionFailed as refused:
            if refused.status != 404:
                raise

    async def batch(self, partition: str, operations: Sequence[Operation]) -> list[Document]:
        """Apply all operations or none; return the documents that they leave.

        :raises PreconditionFailed: with the status of the first operation that was refused.
        """

        async def send(options: Options) -> list[Document]:
            # Fresh options for every attempt: the SDK takes the conditions out of those that it is given.
            fresh = [(kind, arguments, dict(conditions)) for kind, arguments, conditions in operations]
            results = await self._proxy.execute_item_batch(fresh, partition, **options)
            self._sessions.keep(partition, results.get_response_headers())
            return [result.get("resourceBody") or {} for result in results]

        return await self._send("execute_batch", partition, send, in_session=True)

    async def _send(self, name: str, partition: str, send: Send[R], *, in_session: bool = False) -> R:
        with store_operation("azure.cosmosdb", name, self._proxy.id, refusal=PreconditionFailed) as operation:
            return await self._repeat(operation, partition, send, in_session)

    async def _repeat(self, operation: StoreOperation, partition: str, send: Send[R], in_session: bool) -> R:
        policy, started = self._retries, time.monotonic()
        for attempt in range(1, policy.attempts + 1):
            options: Options = {"raw_response_hook": partial(_note_answer, operation)}
            if in_session and (token := self._sessions.get(partition)):
                options["session_token"] = token
            try:
                async with asyncio.timeout(policy.request_seconds):
                    return await send(options)
            except (CosmosHttpResponseError, CosmosBatchOperationError) as error:
                self._sessions.keep(partition, error.headers)
                failure: Exception = self._raise_if_permanent(error)
                wait = max(policy.backoff(attempt), retry_after(error))
            except ClientAuthenticationError as error:
                logger.exception("Cosmos DB container %s: could not get a token from Entra ID", self._proxy.id)
                raise StoreMisconfigured from error
            except (AzureError, TimeoutError, OSError) as error:
                failure, wait = error, policy.backoff(attempt)
            if attempt == policy.attempts or time.monotonic() + wait > started + policy.request_seconds:
                break
            operation.retried(str(getattr(failure, "status_code", None) or type(failure).__name__))
            await asyncio.sleep(wait)
        logger.warning("Cosmos DB container %s: gave up after %d attempts", self._proxy.id, attempt, exc_info=failure)
        self._forget_unservable(partition, failure)
        raise StoreUnavailable(retry_after=max(1.0, wait)) from failure

    def _raise_if_permanent(self, error: CosmosHttpResponseError | CosmosBatchOperationError) -> Exception:
        """Return the error if it may pass; raise what it means if not."""
        code = (error.status_code, _sub_status(error))
        if error.status_code in TRANSIENT_STATUSES or code == SESSION_NOT_AVAILABLE:
            return error
        if code == PARTITION_FULL:
            logger.error("Cosmos DB container %s: a partition has its 20 GB", self._proxy.id, exc_info=error)
            raise ThreadFull from error
        if error.status_code in (401, 403) or code == CONTAINER_NOT_FOUND:
            logger.error("Cosmos DB container %s: missing, or access denied (%d/%d)", self._proxy.id, *code, exc_info=error)
            raise StoreMisconfigured from error
        if error.status_code in (404, 409, 412):
            raise PreconditionFailed(error.status_code) from error
        if error.status_code == 413:
            raise TooLarge from error
        raise error

    def _forget_unservable(self, partition: str, failure: Exception) -> None:
        if getattr(failure, "sub_status", None) == SESSION_NOT_AVAILABLE[1]:
            self._sessions.forget(partition)


def _sub_status(error: CosmosHttpResponseError | CosmosBatchOperationError) -> int:
    """Return what tells an answer from others of its status; a batch's failed operation has its own."""
    for result in getattr(error, "operation_responses", None) or ():
        if int(result["statusCode"]) == error.status_code and result.get("subStatusCode"):
            return int(result["subStatusCode"])
    return error.sub_status or 0


def _parameters(values: Mapping[str, object]) -> list[Document]:
    return [{"name": f"@{name}", "value": value} for name, value in values.items()]


def _note_answer(operation: StoreOperation, answer: Any) -> None:
    """Take an answer's status and charge; the SDK calls this for each answer, whatever it holds."""
    response = answer.http_response
    operation.answered(response.status_code, float(response.headers.get(REQUEST_CHARGE, 0)))
