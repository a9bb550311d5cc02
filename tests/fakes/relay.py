"""A network that breaks: passes connections on to a server, and cuts streams off where it is told to."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from tests.fakes.connections import Connections


class Relay(Connections):
    """Use it as an async context manager; ``url`` is where it listens.

    ``cuts`` are used up one by one: so many bytes are passed on of the next answer to who asked for a stream. ``cut`` counts
    them, and ``all_cut`` is set with the last one.
    """

    def __init__(self, url: str, all_cut: asyncio.Event, *cuts: int) -> None:
        super().__init__()
        self._target = urlsplit(url)
        self._cuts = list(cuts)
        self.cut = 0
        self._all_cut = all_cut

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            # One request a connection: what the first one asks for says what the answer is.
            back.write(head.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n")
            is_stream = b"text/event-stream" in head.lower()
            rest = asyncio.create_task(self._pump(reader, back))
            await self._pump(there, writer, self._cuts.pop(0) if is_stream and self._cuts else None)
            rest.cancel()
        finally:
            back.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, most: int | None = None) -> None:
        while (most is None or most > 0) and (piece := await source.read(65536 if most is None else most)):
            if most is not None:
                most -= len(piece)
            target.write(piece)
            await target.drain()
        if most == 0:
            self.cut += 1
            if not self._cuts:
                self._all_cut.set()
            target.transport.abort()
