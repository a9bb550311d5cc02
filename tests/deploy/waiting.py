"""Waits for a deployment that has just been made: a new app answers nothing, or 404 or 503, for minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import httpx2

START_SECONDS = 400.0
PAUSE_SECONDS = 5.0


class NotUp(Exception):
    """The app did not become ready in time; the text says what it answered last."""


async def until_ready(
    client: httpx2.AsyncClient,
    tell: Callable[[str], None],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = monotonic,
) -> None:
    """Return once ``/api/ready`` answers 200; tell before every pause what it waits for.

    :raises NotUp: after ``START_SECONDS``.
    """
    started = clock()
    while (state := await _state(client)) is not None:
        waited = clock() - started
        if waited >= START_SECONDS:
            raise NotUp(f"{client.base_url} is not ready after {waited:.0f} s: {state}")
        tell(f"waiting for {client.base_url}: {state} ({waited:.0f} of {START_SECONDS:.0f} s)")
        await sleep(PAUSE_SECONDS)


async def _state(client: httpx2.AsyncClient) -> str | None:
    """Return what keeps the app from being ready; ``None`` if nothing does."""
    try:
        response = await client.get("/api/ready")
    except httpx2.HTTPError as error:
        return f"no answer ({type(error).__name__})"
    if response.status_code == 200:
        return None
    if "json" in response.headers.get("content-type", ""):
        return f"{response.status_code} {response.json().get('detail', '')}"
    return f"status {response.status_code}"
