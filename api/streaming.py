"""Responses that flow: a turn's events, in whichever format, sent as they come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from api import ndjson, sse
from api.deps import services_of
from events import FinalEvent, MessageDelta, TurnEvent
from observability import metrics

Batches = AsyncGenerator[Sequence[TurnEvent]]
Chunks = AsyncGenerator[bytes]
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
ENCODERS: dict[str, tuple[Callable[[TurnEvent], bytes], bytes]] = {
    sse.MEDIA_TYPE: (sse.encode, sse.HEARTBEAT),
    ndjson.MEDIA_TYPE: (ndjson.encode, ndjson.HEARTBEAT),
}
# In the OpenAPI document: what each line of a stream is, and the `data` of each server-sent event.
TURN_EVENT = "TurnEvent"
SCHEMAS: dict[str, dict[str, Any]] = {
    # A generated client reads all of it as a text: taken for an event, it would be refused.
    sse.MEDIA_TYPE: {"type": "string", "description": f"Server-sent events; the `data` of each is a `{TURN_EVENT}`."},
    ndjson.MEDIA_TYPE: {"$ref": f"#/components/schemas/{TURN_EVENT}"},
}
logger = logging.getLogger(__name__)


class BrokenOff(Exception):
    """A turn's events have ended without a final one: how the turn has ended is not known here."""


class StreamResponse(StreamingResponse):
    """A streaming response that gives up on a reader who does not read, and closes what it was sending."""

    def __init__(self, chunks: Chunks, headers: Mapping[str, str], media_type: str) -> None:
        super().__init__(chunks, headers=headers, media_type=media_type)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; one that is not sent to its end makes the server close the connection."""
        metrics.streams_open.add(1)
        seconds = services_of(scope["state"]).intervals.send
        try:
            async with aclosing(self._chunks):
                await super().__call__(scope, receive, partial(_send_in_time, send, seconds))
        except ClientDisconnect:
            logger.info("client stopped reading, stream closed after %g s", seconds)
        except BrokenOff:
            logger.info("stream closed without a final event: the end of its turn is unknown")
        finally:
            metrics.streams_open.add(-1)


async def _send_in_time(send: Send, seconds: float, message: Message) -> None:
    try:
        async with asyncio.timeout(seconds):
            await send(message)
    except TimeoutError as error:
        raise ClientDisconnect from error


def events_response(batches: Batches, media_type: str, headers: Mapping[str, str] | None = None) -> StreamResponse:
    """Render a turn's events; an empty batch is a heartbeat."""
    encode, heartbeat = ENCODERS[media_type]
    return stream_response(_encoded(batches, encode, heartbeat), media_type, headers)


def stream_response(chunks: Chunks, media_type: str, headers: Mapping[str, str] | None = None) -> StreamResponse:
    """Send chunks as they come, unbuffered by what stands in between."""
    return StreamResponse(chunks, {**HEADERS, **(headers or {})}, media_type)


async def _encoded(batches: Batches, encode: Callable[[TurnEvent], bytes], heartbeat: bytes) -> Chunks:
    last: TurnEvent | None = None
    async with aclosing(batches):
        async for batch in batches:
            last = batch[-1] if batch else last
            yield b"".join(map(encode, batch)) or heartbeat
    if not isinstance(last, FinalEvent):
        # Not an end as any other: whoever reads must see that it is none.
        raise BrokenOff


def stream_content(*media_types: str) -> dict[str, Any]:
    """Describe the formats of a stream for a route's OpenAPI ``responses``."""
    example = MessageDelta(id=2, turn_id="turn_8d0b7c5e4f3a4c2d9e1f0a6b5c4d3e2f", text="A 15% tip")
    return {
        each: {
            "schema": SCHEMAS[each],
            "example": ENCODERS[each][0](example).decode(),
        }
        for each in media_types
    }
