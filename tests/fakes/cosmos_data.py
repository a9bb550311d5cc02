"""The data behind the fake Cosmos DB: containers with atomic batches, conditional patches, sessions and lagging replicas."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.fakes.cosmos_charges import REFUSED, write_charge
from tests.fakes.cosmos_sql import UnknownSql, index_covers, parse_condition, parse_query

Document = dict[str, Any]
Partition = dict[str, Document]

MAX_OPERATIONS = 100
MAX_PATCHES = 10
MAX_BYTES = 2 * 1024 * 1024
MAX_ID_BYTES = 1023


class CosmosError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, message: str = "", *, sub_status: int = 0) -> None:
        super().__init__(f"{status}/{sub_status} {message}")
        self.status = status
        self.message = message
        self.sub_status = sub_status


class Outcome(NamedTuple):
    """What an operation's answer tells: its status, the document that it leaves, and what it cost."""

    status: int
    document: Document | None = None
    charge: float = REFUSED


class Container:
    """A container with one physical partition, whose position (LSN) grows by one with every write or batch."""

    def __init__(self, rid: str, definition: Document) -> None:
        self.rid = rid
        if definition.get("defaultTtl", -1) != -1:
            raise CosmosError(400, "only a time to live that documents carry themselves is known to this fake")
        self.definition = definition
        self.lsn = 1
        self._path = definition["partitionKey"]["paths"][0].removeprefix("/")
        self._indexed = [path["path"] for path in definition.get("indexingPolicy", {}).get("includedPaths", [{"path": "/*"}])]
        self._partitions: dict[str, Partition] = {}
        self._replica: dict[str, Partition] | None = None
        self._replica_lsn = 0
        self._lagging: list[tuple[int, str, str, Document | None]] = []
        self._etags = itertools.count(1)

    def lag(self) -> None:
        """From now on, reads without a fitting session token see the data as it is now."""
        self._replica = {key: dict(partition) for key, partition in self._partitions.items()}
        self._replica_lsn = self.lsn
        self._lagging = []

    def catch_up(self) -> None:
        """Let every read see everything again."""
        self._replica = None

    def _alive(self, documents: Partition) -> Partition:
        """Return the documents whose time to live is not over, if the container lets any expire."""
        if self.definition.get("defaultTtl") != -1:
            return documents
        now = time.time()
        return {id: each for id, each in documents.items() if "ttl" not in each or each["_ts"] + each["ttl"] > now}

    def documents(self, partition: str) -> Partition:
        """Return what is stored, whatever the replicas show."""
        return self._partitions.get(partition, {})

    def everything(self) -> list[Document]:
        """Return all documents of all partitions."""
        return [document for partition in self._partitions.values() for document in partition.values()]

    def load(self, documents: list[Document]) -> None:
        """Store documents as they are, as a restore of a backup does."""
        for document in documents:
            self.write(document[self._path], {"operationType": "Create", "resourceBody": document})

    def read(self, partition: str, id: str, token: str | None) -> Document:
        """Return a document as the replica that the session token leads to has it."""
        try:
            return self._alive(self._view(partition, token))[id]
        except KeyError:
            raise CosmosError(404, f"no document {id}") from None

    def query(self, partition: str | None, sql: str, parameters: Mapping[str, Any], token: str | None) -> list[Document]:
        """Return a query's rows, in a partition or in all; the query may only use indexed paths."""
        try:
            query = parse_query(sql, parameters)
            hidden = [path for path in query.paths if not index_covers(self._indexed, path)]
            if hidden:
                raise CosmosError(400, f"not indexed: {hidden}")
            if partition is not None:
                return query.run(self._alive(self._view(partition, token)).values())
            if query.top is not None or query.order_by:
                raise CosmosError(400, "a query across partitions that needs a plan", sub_status=1004)
            views = (self._alive(self._view(each, token)).values() for each in list(self._partitions))
            return query.run(itertools.chain.from_iterable(views))
        except UnknownSql as error:
            raise CosmosError(400, str(error)) from error

    def write(self, partition: str, operation: Document) -> Outcome:
        """Apply one operation."""
        documents = self._partitions.setdefault(partition, {})
        id, outcome = self._apply(partition, documents, operation)
        self._store(partition, {id: outcome.document})
        return outcome

    def batch(self, partition: str, operations: list[Document]) -> list[Outcome]:
        """Apply all operations or none. If one fails, its result is its status and those of the others are 424."""
        if len(operations) > MAX_OPERATIONS:
            raise CosmosError(400, f"{len(operations)} operations in a batch")
        documents = dict(self._partitions.get(partition, {}))
        touched: dict[str, Document | None] = {}
        results: list[Outcome] = []
        for index, operation in enumerate(operations):
            try:
                id, outcome = self._apply(partition, documents, operation)
            except CosmosError as error:
                failed = [Outcome(424)] * len(operations)
                failed[index] = Outcome(error.status)
                return failed
            touched[id] = outcome.document
            _put(documents, id, outcome.document)
            results.append(outcome)
        self._store(partition, touched)
        return results

    def _apply(self, partition: str, documents: Partition, operation: Document) -> tuple[str, Outcome]:
        kind, body = operation["operationType"], operation.get("resourceBody")
        id = str(operation.get("id") or (body or {})["id"])
        if kind == "Create":
            _check_id(id)
            if id in documents:
                raise CosmosError(409, f"document {id} is there already")
            return id, self._written(201, kind, self._stamped(partition, body))
        if id not in documents:
            raise CosmosError(404, f"no document {id}")
        if operation.get("ifMatch") not in (None, documents[id]["_etag"]):
            raise CosmosError(412, "etag")
        if kind == "Read":
            return id, self._written(200, kind, documents[id])
        if kind == "Delete":
            return id, Outcome(204, None, self._written(204, kind, documents[id]).charge)
        if kind == "Replace":
            return id, self._written(200, kind, self._stamped(partition, body))
        if kind == "Patch":
            return id, self._written(200, kind, self._stamped(partition, _patched(documents[id], body)))
        raise CosmosError(400, f"operation {kind} is not known to this fake")

    def _written(self, status: int, kind: str, document: Document) -> Outcome:
        return Outcome(status, document, write_charge(kind, document, self._indexed))

    def _stamped(self, partition: str, body: Any) -> Document:
        if body.get(self._path) != partition:
            raise CosmosError(400, f"{self._path} is not the request's partition key", sub_status=1001)
        if len(json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")) > MAX_BYTES:
            raise CosmosError(413, "document over 2 MB")
        own = {name: as_doubles(value) for name, value in body.items() if not name.startswith("_")}
        rid = f"{self.rid}{own['id']}"
        return {
            **own,
            "_rid": rid,
            "_self": f"dbs/db/colls/{self.rid}/docs/{rid}/",
            "_etag": f'"{next(self._etags)}"',
            "_ts": int(time.time()),
        }

    def _store(self, partition: str, changed: Mapping[str, Document | None]) -> None:
        self.lsn += 1
        documents = self._partitions.setdefault(partition, {})
        for id, document in changed.items():
            _put(documents, id, document)
            if self._replica is not None:
                self._lagging.append((self.lsn, partition, id, document))

    def position(self, token: str | None) -> int:
        """Return up to where a read with this session token sees the data."""
        if self._replica is None:
            return self.lsn
        return max(self._replica_lsn, int(token.rpartition("#")[2]) if token else 0)

    def _view(self, partition: str, token: str | None) -> Partition:
        if self._replica is None:
            return self.documents(partition)
        seen = self.position(token)
        view = dict(self._replica.get(partition, {}))
        for lsn, changed, id, document in self._lagging:
            if lsn <= seen and changed == partition:
                _put(view, id, document)
        return view


def _put(documents: Partition, id: str, document: Document | None) -> None:
    if document is None:
        documents.pop(id, None)
    else:
        documents[id] = document


def _check_id(id: Any) -> None:
    if not isinstance(id, str) or not id or len(id.encode()) > MAX_ID_BYTES or set(id) & set("/\\?#"):
        raise CosmosError(400, f"not an id: {id!r}")


def _patched(document: Document, body: Any) -> Document:
    try:
        if "condition" in body and not parse_condition(body["condition"])(document):
            raise CosmosError(412, "condition")
    except UnknownSql as error:
        raise CosmosError(400, str(error)) from error
    if not 1 <= len(body["operations"]) <= MAX_PATCHES:
        raise CosmosError(400, f"{len(body['operations'])} patch operations")
    patched: Document = json.loads(json.dumps(document))
    for operation in body["operations"]:
        _patch(patched, operation["op"], operation["path"], operation["value"])
    return patched


def _patch(document: Any, op: str, path: str, value: Any) -> None:
    *parents, name = path.removeprefix("/").split("/")
    for parent in parents:
        document = document.get(parent) if isinstance(document, dict) else None
    if not isinstance(document, dict) or name == "id":
        raise CosmosError(400, f"cannot patch {path}")
    if op == "set":
        document[name] = value
    elif op == "incr":
        document[name] = document.get(name, 0) + value
    else:
        raise CosmosError(400, f"patch operation {op} is not known to this fake")


def as_doubles(value: Any) -> Any:
    """Return JSON as it comes back: numbers are doubles, and whole ones are written without a fraction."""
    if isinstance(value, dict):
        return {name: as_doubles(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_doubles(each) for each in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = float(value)
    return int(number) if number.is_integer() else number
