"""A Cosmos DB account on a port of this machine, for the real SDK: what the store needs of the REST API, and faults.

Requests that it does not know are refused with 400, so that the store cannot come to depend on guesses.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote

from aiohttp import web

from tests.fakes.cosmos_data import MAX_BYTES, Container, CosmosError, Document
from tests.fakes.cosmos_requests import (
    Kind,
    Logged,
    answer_batch,
    answer_query,
    answer_single,
    container_of,
    described,
    kind_of,
    partition_ranges,
    session_token,
)

KEY = "ZmFrZSBrZXkgb2YgYSBmYWtlIGFjY291bnQ="
METADATA: tuple[Kind, ...] = ("account", "database", "container", "pkranges")


@dataclass(eq=False)
class Fault:
    """What happens to requests that fit, after ``skip`` of them and ``times`` in a row; no kind fits any for documents.

    ``delay`` comes before anything else; ``applied`` says that a request with an error ``status`` was carried out all the same.
    """

    kind: Kind | None
    container: str | None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: Literal["before", "after"] | None = None
    in_batch: bool = False
    hold: bool = False
    delay: float = 0
    applied: bool = False
    skip: int = 0
    times: int = 1
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class FakeCosmos:
    """Use it as an async context manager; then ``endpoint`` is where it listens."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.endpoint = ""
        self.databases: dict[str, dict[str, Container]] = {}
        self.log: list[Logged] = []
        # Asked for a fault for each request that no other fault fits.
        self.chance: Callable[[Logged], Fault | None] | None = None
        self._faults: list[Fault] = []
        self._ticks = itertools.count(1)
        self._rids = itertools.count(1)
        self._tls = tls

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=4 * MAX_BYTES)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.endpoint = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for fault in self._faults:
            fault.released.set()
        await self._runner.cleanup()

    def container(self, id: str) -> Container:
        """Return a container of the only database."""
        (database,) = self.databases.values()
        return database[id]

    def fail(self, kind: Kind | None, container: str | None = None, **effect: Any) -> Fault:
        """Let requests of a kind go wrong: ``status``, ``drop``, ``hold`` (until released), …, see :class:`Fault`."""
        fault = Fault(kind, container, **effect)
        self._faults.append(fault)
        return fault

    def requests(self, since: int = 0) -> list[Logged]:
        """Return the requests for documents, in the order in which they came."""
        return [entry for entry in self.log[since:] if entry.kind not in METADATA]

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        parts = [unquote(part) for part in request.path.strip("/").split("/") if part]
        kind = kind_of(request, parts)
        raw = await request.read()
        entry = Logged(
            kind,
            parts[3] if len(parts) > 3 else "",
            json.loads(raw) if raw else None,
            next(self._ticks),
            request.headers.get("x-ms-session-token"),
        )
        self.log.append(entry)
        fault = self._take_fault(entry)
        try:
            response = await self._with_fault(fault, request, parts, entry, len(raw))
        finally:
            entry.ended = next(self._ticks)
        entry.status = response.status
        entry.charge = float(response.headers.get("x-ms-request-charge", 0))
        return response

    def _take_fault(self, entry: Logged) -> Fault | None:
        for fault in self._faults:
            if _fits(fault, entry):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
                return fault
        return self.chance(entry) if self.chance else None

    async def _with_fault(
        self, fault: Fault | None, request: web.Request, parts: list[str], entry: Logged, size: int
    ) -> web.StreamResponse:
        if fault is None:
            return self._reply(request, parts, entry, size)
        fault.reached.set()
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if fault.hold:
            await fault.released.wait()
            return self._reply(request, parts, entry, size)
        if fault.drop:
            if fault.drop == "after":
                self._reply(request, parts, entry, size)
            return _hang_up(request)
        if fault.in_batch and entry.kind == "batch":
            results = [{"statusCode": 424} for _ in entry.body]
            results[-1] = {"statusCode": fault.status or 429, "retryAfterMilliseconds": 1}
            if sub_status := fault.headers.get("x-ms-substatus"):
                results[-1]["subStatusCode"] = int(sub_status)
            return web.json_response(results, status=207, headers=dict(fault.headers))
        if fault.status is None:
            return self._reply(request, parts, entry, size)
        if fault.applied:
            self._reply(request, parts, entry, size)
        return web.json_response({"code": "Fault"}, status=fault.status, headers=dict(fault.headers))

    def _reply(self, request: web.Request, parts: list[str], entry: Logged, size: int) -> web.StreamResponse:
        headers: dict[str, str] = {}
        try:
            if "authorization" not in request.headers:
                raise CosmosError(401)
            if size > MAX_BYTES:
                raise CosmosError(413, "request over 2 MB")
            if len(parts) > 4 and parts[4] == "docs":
                return self._documents(request, parts, entry, headers)
            return self._metadata(request, parts, entry)
        except CosmosError as error:
            headers |= {"x-ms-substatus": str(error.sub_status), "x-ms-request-charge": "1"}
            return web.json_response(
                {"code": str(error.status), "message": error.message}, status=error.status, headers=headers
            )

    def _metadata(self, request: web.Request, parts: list[str], entry: Logged) -> web.StreamResponse:
        if entry.kind == "account":
            return web.json_response(self._account())
        if entry.kind == "pkranges":
            return partition_ranges(request)
        if entry.kind == "database":
            return self._database_request(request, parts, entry)
        database = self._database(parts[1])
        if request.method == "POST":
            if entry.body["id"] in database:
                raise CosmosError(409)
            database[entry.body["id"]] = Container(f"coll{next(self._rids)}", entry.body)
            return web.json_response(described(database[entry.body["id"]]), status=201)
        return web.json_response(described(container_of(database, parts[3])))

    def _database_request(self, request: web.Request, parts: list[str], entry: Logged) -> web.StreamResponse:
        if request.method == "POST":
            if entry.body["id"] in self.databases:
                raise CosmosError(409)
            self.databases[entry.body["id"]] = {}
            return web.json_response({"id": entry.body["id"], "_rid": "db", "_self": "dbs/db/"}, status=201)
        self._database(parts[1])
        if request.method == "DELETE":
            del self.databases[parts[1]]
            return web.Response(status=204)
        return web.json_response({"id": parts[1], "_rid": "db", "_self": "dbs/db/"})

    def _documents(self, request: web.Request, parts: list[str], entry: Logged, headers: dict[str, str]) -> web.StreamResponse:
        container = container_of(self._database(parts[1]), parts[3])
        headers["x-ms-alt-content-path"] = "/".join(parts[:4])
        if entry.kind == "query" and request.headers.get("x-ms-documentdb-query-enablecrosspartition") == "True":
            return answer_query(request, container, None, entry, headers)
        if "x-ms-documentdb-partitionkey" not in request.headers:
            raise CosmosError(400, "not within a partition")
        partition = json.loads(request.headers["x-ms-documentdb-partitionkey"])[0]
        try:
            if entry.kind == "query":
                return answer_query(request, container, partition, entry, headers)
            if entry.kind == "batch":
                return answer_batch(request, container, partition, entry, headers)
            return answer_single(container, partition, parts[5:], entry, headers)
        finally:
            # Also what is refused tells how far the data is that it was refused by.
            headers["x-ms-session-token"] = session_token(container, entry)

    def _database(self, id: str) -> dict[str, Container]:
        if id not in self.databases:
            raise CosmosError(404, f"no database {id}", sub_status=1003)
        return self.databases[id]

    def _account(self) -> Document:
        location = [{"name": "Here", "databaseAccountEndpoint": self.endpoint}]
        return {
            "id": "fake",
            "_rid": "fake",
            "_self": "",
            "_dbs": "//dbs/",
            "writableLocations": location,
            "readableLocations": location,
            "enableMultipleWriteLocations": False,
            "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        }


def _fits(fault: Fault, entry: Logged) -> bool:
    if fault.container not in (None, entry.container):
        return False
    return entry.kind == fault.kind if fault.kind else entry.kind not in METADATA


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport:
        request.transport.abort()
    return web.Response()
