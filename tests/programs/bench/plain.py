"""The yardstick: what one would write in an afternoon with FastAPI, the OpenAI SDK and SQLite, and the tool loop by hand.

No lease, no atomic commit, no idempotency, no framework, the latest 40 messages; answers as JSON, or streamed. How fast it
is tells how fast this machine and these versions of the libraries are.
Run as ``python -m tests.programs.bench.plain MODEL_URL PORT FILE``.
"""

import asyncio
import json
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import openai
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": name, "description": name, "parameters": {"type": "object", "properties": {}}},
    }
    for name in ("get_tide", "calculate")
]
LATEST = (
    "SELECT role, content FROM (SELECT rowid, role, content FROM messages WHERE thread = ? ORDER BY rowid DESC LIMIT 40) "
    "ORDER BY rowid"
)


class Body(BaseModel):
    content: str


def open_database(file: str) -> sqlite3.Connection:
    db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS messages (thread TEXT, role TEXT, content TEXT)")
    db.execute("CREATE INDEX IF NOT EXISTS by_thread ON messages (thread)")
    return db


def create_app(model_url: str, file: str) -> FastAPI:
    app = FastAPI()
    client = openai.AsyncOpenAI(api_key="none", base_url=f"{model_url}/v1")
    lock = threading.Lock()
    db = open_database(file)

    def store(thread: str, role: str, content: str | None) -> list[tuple[str, str]]:
        with lock:
            db.execute("INSERT INTO messages VALUES (?, ?, ?)", (thread, role, content))
            return db.execute(LATEST, (thread,)).fetchall() if role == "user" else []

    async def stream(thread: str, messages: list[Any]) -> AsyncIterator[str]:
        text = ""
        pieces = await client.chat.completions.create(
            model="fake", messages=messages, tools=TOOLS, stream=True, stream_options={"include_usage": True}
        )
        async for piece in pieces:
            if piece.choices and (said := piece.choices[0].delta.content):
                text += said
                yield f"data: {json.dumps({'text': said})}\n\n"
        await asyncio.to_thread(store, thread, "assistant", text)
        yield f"data: {json.dumps({'message.completed': text})}\n\n"

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/{thread}", response_model=None)
    async def send(thread: str, body: Body, request: Request) -> dict[str, str | None] | StreamingResponse:
        rows = await asyncio.to_thread(store, thread, "user", body.content)
        messages: list[Any] = [{"role": role, "content": content} for role, content in rows]
        if request.headers.get("accept") == "text/event-stream":
            return StreamingResponse(stream(thread, messages), media_type="text/event-stream")
        while True:
            answer = (await client.chat.completions.create(model="fake", messages=messages, tools=TOOLS)).choices[0].message
            if not answer.tool_calls:
                break
            messages.append(answer.model_dump(exclude_none=True))
            messages += [{"role": "tool", "tool_call_id": call.id, "content": "1"} for call in answer.tool_calls]
        await asyncio.to_thread(store, thread, "assistant", answer.content)
        return {"content": answer.content}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1], sys.argv[3]), port=int(sys.argv[2]), log_level="error", access_log=False)
