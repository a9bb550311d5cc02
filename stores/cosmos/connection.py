"""The connection to a Cosmos DB account: the SDK's client, its options, and the check that the containers are there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient, DatabaseProxy
from azure.cosmos.documents import ConnectionPolicy
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceExistsError, CosmosResourceNotFoundError

from errors import StoreMisconfigured, StoreUnavailable
from settings import without_credentials
from stores.cosmos.container import gather_pair
from stores.cosmos.definitions import MESSAGES, THREADS, ContainerDefinition
from stores.cosmos.retries import REQUEST_SECONDS, TRANSIENT_STATUSES, RetryPolicy, retry_after

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

logger = logging.getLogger(__name__)

START_SECONDS = 30.0
CONNECT_SECONDS = 5


@asynccontextmanager
async def connect(
    endpoint: str,
    *,
    database: str,
    credential: str | AsyncTokenCredential,
    retries: RetryPolicy,
    start_seconds: float = START_SECONDS,
) -> AsyncIterator[dict[str, ContainerProxy]]:
    """Yield the containers by their ids. With a key, a missing database and missing containers are created.

    An account that is throttled or busy is asked again, however often, for ``start_seconds`` at most.

    :raises StoreUnavailable: if the account does not answer.
    :raises StoreMisconfigured: if it refuses access, or a container is missing and there is no key; the log says which.
    """
    async with AsyncExitStack() as resources:
        try:
            async with asyncio.timeout(start_seconds):
                containers = await _open(resources, endpoint, database, credential, retries)
        except CosmosHttpResponseError as error:
            if error.status_code not in (400, 401, 403):
                raise StoreUnavailable from error
            logger.exception("Cosmos DB account %s refuses access (%d)", without_credentials(endpoint), error.status_code)
            raise StoreMisconfigured from error
        except (ClientAuthenticationError, ValueError) as error:
            logger.exception("Cosmos DB account %s: the key or the identity cannot be used", without_credentials(endpoint))
            raise StoreMisconfigured from error
        except (AzureError, TimeoutError, OSError) as error:
            raise StoreUnavailable from error
        yield containers


async def _open(
    resources: AsyncExitStack, endpoint: str, database: str, credential: str | AsyncTokenCredential, retries: RetryPolicy
) -> dict[str, ContainerProxy]:
    attempt = 0
    while True:
        attempt += 1
        async with AsyncExitStack() as opening:
            client = new_client(endpoint, credential)
            # Before it is entered: entering sends a request, and a client that fails then must be closed too.
            opening.push_async_exit(client)
            try:
                await client.__aenter__()
                containers = await _containers(client, database, may_create=isinstance(credential, str))
            except CosmosHttpResponseError as error:
                if error.status_code not in TRANSIENT_STATUSES:
                    raise
                wait = max(retries.backoff(attempt), retry_after(error))
                logger.warning(
                    "Cosmos DB account %s: start refused (%d), will retry", without_credentials(endpoint), error.status_code
                )
            else:
                resources.push_async_exit(opening.pop_all())
                return containers
        await asyncio.sleep(wait)


def new_client(endpoint: str, credential: str | AsyncTokenCredential) -> CosmosClient:
    """Return a client that is not entered yet, with the options that this project relies on."""
    policy = ConnectionPolicy()
    # 429 is waited for in :mod:`stores.cosmos.container`, which sees it inside a batch's answer too: one place decides.
    policy.RetryOptions = type(policy.RetryOptions)(max_retry_attempt_count=0)
    return CosmosClient(
        endpoint,
        credential,
        connection_policy=policy,
        # A Chinese character has 3 bytes then, and 6 as an escape: a reply must fit into one request.
        enable_compact_utf8_item_writes=True,
        connection_timeout=CONNECT_SECONDS,
        read_timeout=REQUEST_SECONDS,
        # The SDK would send writes again after a lost answer without telling.
        retry_connect=0,
        retry_read=0,
    )


async def _containers(client: CosmosClient, database: str, *, may_create: bool) -> dict[str, ContainerProxy]:
    if may_create:
        with suppress(CosmosResourceExistsError):  # another process has just created it
            await client.create_database_if_not_exists(database)
    proxy = client.get_database_client(database)
    messages, threads = await gather_pair(*(_container(proxy, each, may_create=may_create) for each in (MESSAGES, THREADS)))
    return {MESSAGES.id: messages, THREADS.id: threads}


async def _container(database: DatabaseProxy, definition: ContainerDefinition, *, may_create: bool) -> ContainerProxy:
    """Return a container that exists; reading it also fills the SDK's cache, so that the first turn need not."""
    container = database.get_container_client(definition.id)
    try:
        await container.read()
    except CosmosResourceNotFoundError as missing:
        if not may_create:
            logger.error("Cosmos DB container %s/%s is missing: deploy infra/ first", database.id, definition.id)
            raise StoreMisconfigured from missing
        with suppress(CosmosResourceExistsError):  # another process has just created it
            await database.create_container(
                definition.id,
                PartitionKey(definition.partition_key),
                indexing_policy=definition.indexing_policy,
                default_ttl=definition.default_ttl,
            )
        await container.read()
    return container
