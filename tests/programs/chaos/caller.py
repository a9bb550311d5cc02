"""Requests to the servers, as an owner sends them: to any of the servers, with the owner's key."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.programs.chaos.processes import Server

OWNERS = (("acme", "ann"), ("acme", "bob"), ("globex", "ann"))
REQUEST_SECONDS = 25.0
BUFFER = 2**22


class Unreachable(Exception):
    """No answer: the server is not there, or the connection broke."""


@dataclass(frozen=True)
class Answer:
    """An answer with its JSON."""

    status: int
    body: Any
    headers: dict[str, str]


def api_keys() -> str:
    """Return the servers' setting API_KEYS: one key for each tenant."""
    entries = [
        {"name": tenant, "tenant": tenant, "sha256": hashlib.sha256(f"chaos-{tenant}".encode()).hexdigest()}
        for tenant in sorted({tenant for tenant, _ in OWNERS})
    ]
    return json.dumps(entries)


class Caller:
    """One client; ``chance`` picks the server of each request."""

    def __init__(self, session: aiohttp.ClientSession, servers: list[Server], chance: random.Random) -> None:
        self._session = session
        self._servers = servers
        self.chance = chance

    async def send(self, owner: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request and read the answer.

        :raises Unreachable: if there is none.
        """
        async with self.open(owner, method, path, body, headers) as response:
            text = await response.read()
            try:
                found = json.loads(text) if text else None
            except ValueError:
                found = {"type": "no JSON", "text": text.decode(errors="replace")}
            return Answer(response.status, found, {name.lower(): value for name, value in response.headers.items()})

    @asynccontextmanager
    async def open(
        self, owner: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield the response, whose body may be a stream.

        :raises Unreachable: if there is none, or it breaks off.
        """
        tenant, user = OWNERS[owner]
        sent = {"X-API-Key": f"chaos-{tenant}", "X-User-Id": user, **(headers or {})}
        url = self.chance.choice(self._servers).url + path
        try:
            async with self._session.request(method, url, json=body, headers=sent) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable from error


@asynccontextmanager
async def http_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Yield what all clients send their requests with."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0), read_bufsize=BUFFER) as session:
        yield session
