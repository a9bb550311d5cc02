"""The Cosmos DB account as the app needs it: access, both containers, their partition keys, TTL and index, and the role."""

from __future__ import annotations

import json
import uuid
from contextlib import AsyncExitStack
from shlex import quote
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos.aio import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from doctor.azure import account_options
from doctor.findings import Finding
from identity.azure_credential import AzureCredential
from settings import Settings, without_credentials
from stores.cosmos.connection import new_client
from stores.cosmos.definitions import CONTAINERS, ContainerDefinition
from stores.cosmos.documents import Document

DATA_CONTRIBUTOR = "00000000-0000-0000-0000-000000000002"
DOCUMENT_SECONDS = 60


class CosmosDoctor:
    """Examines an account with the key and database in the settings; ``principal`` is who the role would be missing for."""

    def __init__(self, endpoint: str, settings: Settings, credential: AzureCredential, principal: str) -> None:
        self._endpoint = endpoint
        self._shown = without_credentials(endpoint)
        self._key = settings.cosmos_key
        self._database = settings.cosmos_database
        self._credential = credential
        self._principal = principal
        self._account = account_options("cosmosdb", self._endpoint)
        self._in_account = account_options("cosmosdb", self._endpoint, name_option="--account-name")

    async def check(self) -> list[Finding]:
        """Examine the account, its database and the containers."""
        async with AsyncExitStack() as stack:
            client = new_client(self._endpoint, self._key.get_secret_value() if self._key else self._credential)
            stack.push_async_exit(client)
            try:
                await client.__aenter__()
                database = client.get_database_client(self._database)
                await database.read()
            except (AzureError, ValueError) as error:
                return [self._account_problem(error)]
            findings = [Finding("Cosmos DB", f"{self._shown} answers and has the database {self._database}")]
            for definition in CONTAINERS:
                findings += await self._check_container(database, definition)
            return findings

    async def _check_container(self, database: DatabaseProxy, definition: ContainerDefinition) -> list[Finding]:
        subject = f"container {definition.id}"
        container = database.get_container_client(definition.id)
        try:
            properties = await container.read()
        except CosmosHttpResponseError as error:
            if error.status_code == 404:
                return [Finding(subject, "is missing", self._create(definition))]
            return [self._account_problem(error)]
        if problems := self._property_problems(subject, definition, properties):
            return problems
        kept = f"partition key {definition.partition_key}, TTL and index are as the app needs them"
        return [Finding(subject, kept), await self._check_access(subject, container, definition)]

    def _property_problems(self, subject: str, definition: ContainerDefinition, properties: Document) -> list[Finding]:
        paths = properties.get("partitionKey", {}).get("paths")
        if paths != [definition.partition_key]:
            text = f"its partition key is {paths}, not {definition.partition_key}, and no container's can be changed"
            name = f"{self._database}_2"
            create = f"az cosmosdb sql database create {self._in_account} --name {quote(name)}"
            return [Finding(subject, text, f"{create}  # and set COSMOS_DATABASE to {name}; what is in this one stays")]
        update = f"az cosmosdb sql container update {self._named(definition)}"
        problems = []
        if properties.get("defaultTtl") != definition.default_ttl:
            text = f"its default TTL is {properties.get('defaultTtl')}, not {definition.default_ttl}"
            problems.append(Finding(subject, text, f"{update} --ttl {definition.default_ttl}"))
        if not _same_index(properties.get("indexingPolicy", {}), definition.indexing_policy):
            text = f"its index is not {', '.join(definition.indexed)} alone"
            problems.append(Finding(subject, text, f"{update} --idx {_index_argument(definition)}"))
        return problems

    async def _check_access(self, subject: str, container: ContainerProxy, definition: ContainerDefinition) -> Finding:
        id = f"doctor_{uuid.uuid4().hex}"
        document = {"id": id, definition.partition_key.removeprefix("/"): id, "type": "doctor", "ttl": DOCUMENT_SECONDS}
        doing = "write"
        try:
            await container.create_item(document)
            doing = "read"
            await container.read_item(id, id)
            doing = "delete"
            await container.delete_item(id, id)
        except CosmosHttpResponseError as error:
            problem = self._account_problem(error)
            return Finding(subject, f"cannot {doing} a document: {problem.text}", problem.fix)
        return Finding(subject, "a document was written, read and deleted")

    def _account_problem(self, error: Exception) -> Finding:
        """Say what a failure of any request means."""
        status = error.status_code if isinstance(error, CosmosHttpResponseError) else None
        if isinstance(error, ClientAuthenticationError):
            return Finding("Cosmos DB", "could not get a token for it: see identity", "az login")
        if status == 404:
            fix = f"az cosmosdb sql database create {self._in_account} --name {quote(self._database)}"
            return Finding("Cosmos DB", f"the database {self._database} is missing (404)", fix)
        if (status == 401 or isinstance(error, ValueError)) and self._key:
            fix = f"az cosmosdb keys list {self._account} --query primaryMasterKey --output tsv  # and set COSMOS_KEY to it"
            return Finding("Cosmos DB", "the key is refused (401)", fix)
        if status in (401, 403):
            text = f"access is denied ({status}): the role Data Contributor is missing, or the firewall refuses this address"
            role = f"--role-definition-id {DATA_CONTRIBUTOR} --principal-id {self._principal} --scope /"
            return Finding("Cosmos DB", text, f"az cosmosdb sql role assignment create {self._in_account} {role}")
        told = f"status {status}" if status else type(error).__name__
        fix = f"az cosmosdb show {self._account} --query '[documentEndpoint, publicNetworkAccess, ipRules]'"
        return Finding("Cosmos DB", f"{self._shown} cannot be used ({told}): check COSMOS_ENDPOINT and the network", fix)

    def _named(self, definition: ContainerDefinition) -> str:
        return f"{self._in_account} --database-name {quote(self._database)} --name {definition.id}"

    def _create(self, definition: ContainerDefinition) -> str:
        options = f"--partition-key-path {definition.partition_key} --ttl {definition.default_ttl}"
        return f"az cosmosdb sql container create {self._named(definition)} {options} --idx {_index_argument(definition)}"


def _same_index(found: Document, wanted: Document) -> bool:
    """Compare what is indexed; the service adds ``_etag`` to what is not, and a type to each index."""

    def paths(policy: Document, which: str) -> set[Any]:
        return {each.get("path") for each in policy.get(which, [])}

    return (
        str(found.get("indexingMode")).lower() == wanted["indexingMode"]
        and paths(found, "includedPaths") == paths(wanted, "includedPaths")
        and paths(found, "excludedPaths") >= paths(wanted, "excludedPaths")
    )


def _index_argument(definition: ContainerDefinition) -> str:
    return quote(json.dumps(definition.indexing_policy))
