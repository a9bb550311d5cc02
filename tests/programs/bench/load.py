"""A load generator that costs little: HTTP/1.1 over asyncio streams, one connection a client."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit


class Client:
    """One keep-alive connection."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, bytes]:
        """Send a request; return the answer's status and body."""
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(answer.split(" ", 2)[1])
        received = dict(line.lower().split(": ", 1) for line in answer.split("\r\n")[1:] if ": " in line)
        return status, await self._reader.readexactly(int(received.get("content-length", 0)))

    async def stream(self, path: str, body: bytes) -> AsyncIterator[bytes]:
        """Send a request for a stream; yield the chunks of the answer as they come."""
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer[:20]:
            raise RuntimeError(answer.decode("latin-1"))
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed; return the answer's JSON."""
        status, answer = await self.request(method, path, b"" if body is None else json.dumps(body).encode())
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer.decode()}")
        return json.loads(answer) if answer else None


async def latencies(client: Client, path: str, body: bytes, count: int) -> list[float]:
    """Return the milliseconds that each of ``count`` requests took, one after another."""
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        status, answer = await client.request("POST", path, body)
        taken.append((time.perf_counter() - start) * 1000)
        if status != 200:
            raise RuntimeError(f"{status} {answer.decode()}")
    return taken


async def median_latency(base_url: str, path: str, body: bytes, count: int = 300) -> float:
    """Return the median of one client's latencies, in milliseconds, warmed up."""
    async with Client(base_url) as client:
        await latencies(client, path, body, 30)
        return statistics.median(await latencies(client, path, body, count))


async def throughput(base_url: str, path_of: Callable[[int], str], body: bytes, *, clients: int, seconds: float) -> float:
    """Return the requests a second that ``clients`` clients get answered, each sending the next after the last."""
    done = 0

    async def work(number: int, until: float) -> None:
        nonlocal done
        async with Client(base_url) as client:
            while time.perf_counter() < until:
                await latencies(client, path_of(number), body, 1)
                done += 1

    start = time.perf_counter()
    await asyncio.gather(*(work(number, start + seconds) for number in range(clients)))
    return done / (time.perf_counter() - start)
