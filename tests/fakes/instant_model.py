"""A model server as a program (``python -m tests.fakes.instant_model --port N``), for benchmarks: it answers at once.

A message with ``[2 tools]`` gets two tool calls first, and one with ``[50 tokens, 10 ms]`` a stream at that pace, whose tokens
say when they were sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from typing import Any

from tests.fakes.model import MODELS, Call, Reply, chunks, completion, head_of

WORDS = [f"word{number} " for number in range(50)]
TEXT_REPLY = Reply(text="".join(WORDS).strip())
TOOLS_REPLY = Reply(
    calls=(
        Call("get_tide", '{"place": "Seattle"}', "call_1"),
        Call("calculate", '{"expression": "85 * 0.15"}', "call_2"),
    )
)


def prepared(reply: Reply) -> tuple[bytes, bytes]:
    """Return a reply's body, whole and streamed."""
    request = {"model": "fake", "stream_options": {"include_usage": True}}
    pieces = "".join(f"data: {json.dumps(piece)}\n\n" for piece in chunks(request, reply))
    return json.dumps(completion(request, reply)).encode(), f"{pieces}data: [DONE]\n\n".encode()


PREPARED = {"text": prepared(TEXT_REPLY), "tools": prepared(TOOLS_REPLY)}


PACE = re.compile(r"\[(\d+) tokens, (\d+) ms\]")


class InstantModel(asyncio.Protocol):
    """The benchmarks' server: keeps connections open and writes prepared bytes, or tokens at a pace."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            if head.startswith(b"get "):
                self._buffer = self._buffer[end + 4 :]
                self._write_json(MODELS.body or b"")
                continue
            start = head.index(b"content-length:") + 15
            length = int(head[start : (head + b"\r\n").index(b"\r\n", start)])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(json.loads(body))

    def _write_json(self, body: bytes) -> None:
        self._transport.write(head_of(200, {"content-type": "application/json", "content-length": str(len(body))}) + body)

    def _answer(self, request: dict[str, Any]) -> None:
        last = request["messages"][-1]
        if pace := PACE.search(str(last["content"])):
            task = asyncio.create_task(self._answer_at_a_pace(int(pace[1]), int(pace[2]) / 1000))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        kind = "tools" if last["role"] == "user" and "[2 tools]" in str(last["content"]) else "text"
        stream = bool(request.get("stream"))
        body = PREPARED[kind][stream]
        content_type = "text/event-stream" if stream else "application/json"
        headers = {"content-type": content_type, "content-length": str(len(body))}
        self._transport.write(head_of(200, headers) + body)

    async def _answer_at_a_pace(self, tokens: int, seconds: float) -> None:
        request = {"model": "fake", "stream_options": {"include_usage": True}}
        token, end, usage = (json.dumps(piece) for piece in chunks(request, Reply(text="TOKEN"))[1:])
        self._transport.write(head_of(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        due = time.monotonic()
        for _ in range(tokens):
            await asyncio.sleep(max(0, due - time.monotonic()))
            due += seconds
            self._write_chunk(f"data: {token.replace('TOKEN', f't{time.monotonic_ns()} ')}\n\n")
        self._write_chunk(f"data: {end}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
        self._transport.write(b"0\r\n\r\n")

    def _write_chunk(self, text: str) -> None:
        self._transport.write(f"{len(text):x}\r\n{text}\r\n".encode())


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(InstantModel, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
