"""What a caller is told whose request the server does not wait for any longer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from api.middleware import RequestMiddleware


async def test_a_request_that_a_stopping_server_cuts_off_is_told_to_come_again() -> None:
    begun = asyncio.Event()
    sent: list[Message] = []

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": []}
    request = asyncio.create_task(RequestMiddleware(hang, https_only=False)(scope, receive, send))
    await begun.wait()
    request.cancel()
    await asyncio.wait([request])
    assert request.cancelled()
    start, body = sent
    problem = json.loads(body["body"])
    assert (start["status"], problem["type"], problem["retryable"]) == (503, "turn_interrupted", True)
