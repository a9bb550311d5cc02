"""Reads a turn's events from a response, as a client does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2

Event = dict[str, Any]
SSE = {"Accept": "text/event-stream"}
NDJSON = {"Accept": "application/x-ndjson"}


async def sse_events(response: httpx2.Response) -> AsyncIterator[Event]:
    """Yield the events of an SSE response, checking that ``id`` and ``event`` say what the data says."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
            continue
        if fields:
            event: Event = json.loads(fields.pop("data"))
            assert fields == {"id": str(event["id"]), "event": event["type"]}
            fields = {}
            yield event


async def all_events(api: httpx2.AsyncClient, path: str, **headers: str) -> list[Event]:
    """Follow a turn to its end."""
    async with api.stream("GET", path, headers={**SSE, **headers}) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in sse_events(response)]
