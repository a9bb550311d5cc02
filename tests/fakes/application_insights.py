"""Application Insights' ingestion: takes what Azure Monitor's exporter sends (the Breeze protocol) and keeps it.

Each request is a JSON list of envelopes: ``name``, ``time``, ``iKey``, ``tags`` and ``data``, whose ``baseType`` says what
``baseData`` is: RequestData, RemoteDependencyData, MessageData, ExceptionData or MetricData.
"""

from __future__ import annotations

import json
from typing import Any, Self

from aiohttp import web

KEY = "00000000-0000-4000-8000-000000000007"


class FakeApplicationInsights:
    """The ingestion endpoint. With ``refuses`` it takes nothing, and only counts the ``attempts``."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.attempts = 0
        self.envelopes: list[dict[str, Any]] = []
        self.other_paths: list[str] = []
        self.connection_string: str

    async def __aenter__(self) -> Self:
        app = web.Application()
        # The exporter puts a second slash behind an address that ends in one, as those that Azure hands out do.
        app.router.add_post("/{slash:/?}v2.1/track", self._track)
        app.router.add_route("*", "/{path:.*}", self._other)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        self.connection_string = f"InstrumentationKey={KEY};IngestionEndpoint={url};LiveEndpoint={url}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def data(self, kind: str) -> list[dict[str, Any]]:
        """Return what has come of a kind: its data, and under ``tags`` where it belongs."""
        found = [each for each in self.envelopes if each["data"]["baseType"] == kind]
        return [{**each["data"]["baseData"], "tags": each.get("tags") or {}} for each in found]

    async def _track(self, request: web.Request) -> web.Response:
        self.attempts += 1
        if self.refuses:
            return web.Response(status=400)
        envelopes = json.loads(await request.read())
        assert {each["iKey"] for each in envelopes} == {KEY}
        self.envelopes += envelopes
        count = len(envelopes)
        return web.json_response({"itemsReceived": count, "itemsAccepted": count, "errors": []})

    async def _other(self, request: web.Request) -> web.Response:
        self.other_paths.append(f"{request.method} {request.raw_path}")
        return web.Response(status=404)
