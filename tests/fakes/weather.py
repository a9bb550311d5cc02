"""Open-Meteo's two APIs on a real socket, with faults. Written from its public documentation: https://open-meteo.com/en/docs"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from tests.support.server import serve

PLACES = {"seattle": {"name": "Seattle", "country": "United States", "latitude": 47.6, "longitude": -122.3}}
CURRENT = {
    "time": "2026-01-01T02:30",
    "interval": 900,
    "temperature_2m": 11.4,
    "relative_humidity_2m": 81,
    "weather_code": 61,
    "wind_speed_10m": 14.2,
}


class FakeOpenMeteo:
    """The service; the attributes say how it fails."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.body: bytes | None = None
        self.gate: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        self.requests.append((scope["path"], query))
        if self.gate:
            await self.gate.wait()
        body = self.body if self.body is not None else json.dumps(self._answer(scope["path"], query)).encode()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        if path == "/v1/search":
            place = PLACES.get(query["name"].lower())
            return {"results": [place]} if place else {"generationtime_ms": 0.5}
        current = dict(CURRENT)
        if query.get("temperature_unit") == "fahrenheit":
            current.update(temperature_2m=52.5, wind_speed_10m=8.8)
        return {"utc_offset_seconds": -28800, "timezone": "America/Los_Angeles", "current": current}


@asynccontextmanager
async def fake_open_meteo() -> AsyncIterator[FakeOpenMeteo]:
    fake = FakeOpenMeteo()
    async with serve(fake) as fake.url:
        yield fake
