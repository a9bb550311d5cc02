"""A model server that speaks the OpenAI chat completions protocol over HTTP, streaming and not, with faults.

:class:`FakeModel` runs in the test's event loop and follows a script of replies. It refuses what :mod:`.model_checks` says.

Written from the protocol's public reference: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.connections import Connections
from tests.fakes.model_checks import refusal_of

Wait = Callable[[], Awaitable[None]]
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@dataclass(frozen=True)
class Call:
    """A tool call that the model asks for; ``arguments`` is text, so that it may be broken."""

    name: str
    arguments: str
    id: str = "call_1"


@dataclass(frozen=True)
class Reply:
    """One answer of the model, with what it thought before, or one failure.

    ``wait`` is awaited before anything is sent, ``wait_for_piece`` before each piece of a stream. ``drop`` closes the
    connection: before any byte, or (streaming) after that many pieces. ``body`` replaces the whole answer.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    status: int = 200
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str | None = None
    wait: Wait | None = None
    wait_for_piece: Wait | None = None
    drop: bool = False
    drop_after_pieces: int | None = None
    body: bytes | None = None
    reasoning: str = ""


MODELS = Reply(body=b'{"object": "list", "data": [{"id": "fake", "object": "model"}]}')


class FakeModel(Connections):
    """The server. ``replies`` are used up one request at a time, the last one again and again; ``requests`` are the bodies.

    ``models`` is the reply to whoever asks for the list of models, ``loaded`` to whoever asks Ollama for those in memory.
    """

    def __init__(self, *replies: Reply) -> None:
        super().__init__()
        self.replies = list(replies)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.disconnected = asyncio.Event()
        self.models = MODELS
        self.loaded = Reply(status=404)

    def reply_to(self, request: dict[str, Any]) -> Reply:
        """Return the reply to a request."""
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def refusal_of(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the error that a request is refused with, if it is."""
        return refusal_of(request)

    async def write_answer(self, writer: asyncio.StreamWriter, request: dict[str, Any], reply: Reply) -> None:
        """Write a reply as HTTP."""
        await answer(writer, request, reply)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._exchange(reader, writer):
            pass

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection stays."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name}
        method, path, _ = head[0].split(" ")
        self.paths.append(path)
        self.headers.append(headers)
        if method == "GET":
            await answer(writer, {}, self.loaded if path.endswith("/api/ps") else self.models)
            return False
        request = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.requests.append(request)
        refusal = self.refusal_of(request)
        reply = Reply(status=400, error=refusal) if refusal else self.reply_to(request)
        answering = asyncio.create_task(self.write_answer(writer, request, reply))
        leaving = asyncio.create_task(reader.read(1))
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            self.disconnected.set()
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)
        # The byte that was waited for is gone: a connection serves one request.
        return False


async def answer(writer: asyncio.StreamWriter, request: dict[str, Any], reply: Reply) -> None:
    """Write a reply as HTTP."""
    if reply.wait:
        await reply.wait()
    if reply.drop:
        return
    if request.get("stream") and reply.status == 200 and reply.body is None:
        await answer_streaming(writer, request, reply)
        return
    if reply.body is not None:
        body = reply.body
    elif reply.status != 200:
        body = json.dumps({"error": reply.error or {"message": "failed", "type": "error", "code": None}}).encode()
    else:
        body = json.dumps(completion(request, reply)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close", **reply.headers}
    writer.write(head_of(reply.status, headers) + body)
    await writer.drain()


async def answer_streaming(writer: asyncio.StreamWriter, request: dict[str, Any], reply: Reply) -> None:
    """Write a reply as server-sent events, one piece at a time."""
    writer.write(head_of(200, {"content-type": "text/event-stream", "connection": "close", **reply.headers}))
    for number, piece in enumerate(chunks(request, reply)):
        if number == reply.drop_after_pieces:
            return
        if reply.wait_for_piece:
            await reply.wait_for_piece()
        writer.write(f"data: {json.dumps(piece)}\n\n".encode())
        await writer.drain()
    writer.write(b"data: [DONE]\n\n")
    await writer.drain()


def head_of(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def finish_reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.calls else "stop")


def completion(request: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """Return a whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": f"{request['model']}-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(reply), "logprobs": None}],
        "usage": USAGE,
    }


def words_of(text: str) -> list[str]:
    """Return the words of a text, each with the space behind it."""
    return [f"{word} " for word in text.split(" ")[:-1]] + [text.split(" ")[-1]] if text else []


def chunks(request: dict[str, Any], reply: Reply) -> list[dict[str, Any]]:
    """Return an answer in pieces: words of reasoning and of text, halves of arguments, the end, the usage."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": word} for word in words_of(reply.reasoning)]
    deltas += [{"content": word} for word in words_of(reply.text)]
    for index, call in enumerate(reply.calls):
        function = {"name": call.name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        middle = len(call.arguments) // 2
        for half in (call.arguments[:middle], call.arguments[middle:]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
    base: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": f"{request['model']}-2026",
    }
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish_reason(reply)})
    pieces: list[dict[str, Any]] = [{**base, "choices": [choice], "usage": None} for choice in choices]
    if request.get("stream_options", {}).get("include_usage"):
        pieces.append({**base, "choices": [], "usage": USAGE})
    return pieces
