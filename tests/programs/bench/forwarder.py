"""The floor: a bare ASGI app that forwards a message to the model and the answer back, and does nothing else.

Its arguments are MODEL_URL and PORT. A message with ``[2 tools]`` makes two model calls, as its turn does.
"""

from __future__ import annotations

import json
import sys

import uvicorn
from starlette.types import Receive, Scope, Send

from tests.programs.bench.load import Client


def request_body(content: str, *, answered: bool = False, stream: bool = False) -> bytes:
    """Return the smallest chat completion request that the fake answers like the API's."""
    messages = [{"role": "user", "content": content}]
    if answered:
        messages.append({"role": "tool", "tool_call_id": "call_1", "content": "1"})
    tools = [{"type": "function", "function": {"name": "calculate", "parameters": {"type": "object"}}}]
    return json.dumps({"model": "fake", "messages": messages, "tools": tools, "stream": stream}).encode()


class Forwarder:
    """The ASGI app, with idle connections to the model."""

    def __init__(self, model_url: str) -> None:
        self._model_url = model_url
        self._idle: list[Client] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        content = json.loads(body)["content"]
        if any(name == b"accept" and value == b"text/event-stream" for name, value in scope["headers"]):
            await self._stream(content, send)
            return
        client = self._idle.pop() if self._idle else await Client(self._model_url).__aenter__()
        for answered in (False, True) if "[2 tools]" in content else (False,):
            _, answer = await client.request("POST", "/v1/chat/completions", request_body(content, answered=answered))
        self._idle.append(client)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _stream(self, content: str, send: Send) -> None:
        client = self._idle.pop() if self._idle else await Client(self._model_url).__aenter__()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        async for piece in client.stream("/v1/chat/completions", request_body(content, stream=True)):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        self._idle.append(client)


if __name__ == "__main__":
    uvicorn.run(Forwarder(sys.argv[1]), port=int(sys.argv[2]), log_level="error", lifespan="off")
