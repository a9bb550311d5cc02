"""How the fake Cosmos DB answers requests for documents, and what it keeps of each request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from tests.fakes.cosmos_charges import query_charge, read_charge
from tests.fakes.cosmos_data import Container, CosmosError, Document, Outcome

PAGE_BYTES = 4 * 1024 * 1024
BATCH, QUERY = "x-ms-cosmos-is-batch-request", "x-ms-documentdb-isquery"
Kind = Literal["account", "database", "container", "pkranges", "create", "read", "replace", "patch", "delete", "query", "batch"]
METHODS: dict[str, Kind] = {"POST": "create", "GET": "read", "PUT": "replace", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Logged:
    """A request as the account saw it; ``started`` and ``ended`` count everything that happened there."""

    kind: Kind
    container: str
    body: Any
    started: int
    session_token: str | None
    ended: int = 0
    status: int = 0
    charge: float = 0.0


def kind_of(request: web.Request, parts: list[str]) -> Kind:
    if not parts:
        return "account"
    if len(parts) <= 2:
        return "database"
    if len(parts) <= 4:
        return "container"
    if parts[4] == "pkranges":
        return "pkranges"
    if BATCH in request.headers:
        return "batch"
    return "query" if QUERY in request.headers else METHODS[request.method]


def session_token(container: Container, entry: Logged) -> str:
    reads = entry.kind in ("read", "query")
    return f"0:-1#{container.position(entry.session_token) if reads else container.lsn}"


def described(container: Container) -> Document:
    return {**container.definition, "_rid": container.rid, "_self": f"dbs/db/colls/{container.rid}/"}


def container_of(database: dict[str, Container], id: str) -> Container:
    if id not in database:
        raise CosmosError(404, f"no container {id}", sub_status=1003)
    return database[id]


def partition_ranges(request: web.Request) -> web.StreamResponse:
    if request.headers.get("If-None-Match") == '"1"':
        return web.Response(status=304, headers={"etag": '"1"'})
    ranges = [{"id": "0", "_rid": "range", "minInclusive": "", "maxExclusive": "FF", "parents": []}]
    return web.json_response({"_rid": "ranges", "PartitionKeyRanges": ranges, "_count": 1}, headers={"etag": '"1"'})


def answer_single(
    container: Container, partition: str, ids: list[str], entry: Logged, headers: dict[str, str]
) -> web.StreamResponse:
    if entry.kind == "read":
        found = container.read(partition, ids[0], entry.session_token)
        outcome = Outcome(200, found, read_charge(found))
    else:
        operation = {"operationType": entry.kind.capitalize(), "resourceBody": entry.body}
        outcome = container.write(partition, operation | ({"id": ids[0]} if ids else {}))
    headers |= {"x-ms-request-charge": f"{outcome.charge:.2f}", "x-ms-session-token": session_token(container, entry)}
    if outcome.document is None:
        return web.Response(status=outcome.status, headers=headers)
    etag = {"etag": outcome.document["_etag"]}
    return web.json_response(outcome.document, status=outcome.status, headers=headers | etag)


def answer_batch(
    request: web.Request, container: Container, partition: str, entry: Logged, headers: dict[str, str]
) -> web.StreamResponse:
    if request.headers.get("x-ms-cosmos-batch-atomic") != "True":
        raise CosmosError(400, "only atomic batches")
    results = container.batch(partition, entry.body)
    charge = sum(each.charge for each in results)
    headers |= {"x-ms-request-charge": f"{charge:.2f}", "x-ms-session-token": session_token(container, entry)}
    answer = [
        {"statusCode": status, "requestCharge": round(charge, 2)}
        | ({"eTag": document["_etag"], "resourceBody": document} if document else {})
        for status, document, charge in results
    ]
    failed = any(each.status >= 400 for each in results)
    return web.json_response(answer, status=207 if failed else 200, headers=headers)


def answer_query(
    request: web.Request, container: Container, partition: str | None, entry: Logged, headers: dict[str, str]
) -> web.StreamResponse:
    if "x-ms-cosmos-is-query-plan-request" in request.headers:
        raise CosmosError(400, "a query across partitions that needs a plan")
    parameters = {each["name"]: each["value"] for each in entry.body.get("parameters", [])}
    rows = container.query(partition, entry.body["query"], parameters, entry.session_token)
    start = int(request.headers.get("x-ms-continuation", 0))
    count = int(request.headers.get("x-ms-max-item-count", 1000))
    page = _fitting(rows[start : start + count if count > 0 else None])
    if start + len(page) < len(rows):
        headers["x-ms-continuation"] = str(start + len(page))
    headers |= {"x-ms-request-charge": f"{query_charge(page):.2f}", "x-ms-session-token": session_token(container, entry)}
    return web.json_response({"_rid": container.rid, "Documents": page, "_count": len(page)}, headers=headers)


def _fitting(rows: list[Document]) -> list[Document]:
    size = 0
    for index, row in enumerate(rows):
        size += len(json.dumps(row))
        if size > PAGE_BYTES and index:
            return rows[:index]
    return rows
