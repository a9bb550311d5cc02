"""A model server that speaks the Responses API, streaming and not: a reasoning model that stores nothing.

As strict as the real one where it matters: it knows its parameters, each call needs its output, and the encrypted reasoning
that came before a call has to come back before it, unchanged. Written from https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.model import FakeModel, Reply, answer, head_of
from tests.fakes.model_checks import NAME

PARAMETERS = {
    *("model", "input", "instructions", "tools", "tool_choice", "store", "include", "reasoning", "stream"),
    *("temperature", "max_output_tokens"),
}
USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 18,
}


@dataclass(frozen=True)
class ThinkingReply(Reply):
    """A reply that was thought about; ``incomplete`` says why it is not whole, ``failed`` is the code it ends with instead."""

    reasoning: str = ""
    incomplete: str | None = None
    failed: str | None = None


class FakeResponses(FakeModel):
    """The server."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__(*replies)
        self._thoughts: dict[str, dict[str, Any]] = {}
        self._count = 0

    def refusal_of(self, request: dict[str, Any]) -> dict[str, Any] | None:
        for parameter in request.keys() - PARAMETERS:
            return _error(f"Unknown parameter: '{parameter}'.", parameter)
        if request.get("store") is not False or "reasoning.encrypted_content" not in request.get("include", ()):
            return _error("This organisation stores nothing.", "store")
        if any(tool.keys() != {"type", "name", "description", "parameters", "strict"} for tool in request.get("tools", ())):
            return _error("Invalid type for 'tools[0]'.", "tools")
        return self._refusal_of_input(request.get("input"))

    async def write_answer(self, writer: asyncio.StreamWriter, request: dict[str, Any], reply: Reply) -> None:
        if not request.get("stream") or reply.status != 200 or reply.body is not None or reply.drop:
            whole = list(self.events(request, reply))[-1]["response"] if reply.status == 200 else None
            body = reply.body or (json.dumps(whole).encode() if whole and not reply.drop else None)
            await answer(writer, {}, Reply(**{**plain(reply), "body": body}))
            return
        if reply.wait:
            await reply.wait()
        writer.write(head_of(200, {"content-type": "text/event-stream", "connection": "close"}))
        for number, event in enumerate(self.events(request, reply)):
            if number == reply.drop_after_pieces:
                return
            if reply.wait_for_piece:
                await reply.wait_for_piece()
            writer.write(f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode())
            await writer.drain()

    def events(self, request: dict[str, Any], reply: Reply) -> Iterator[dict[str, Any]]:
        """Yield an answer's events; the last one holds it whole."""
        response = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": f"{request['model']}-2026",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
        output: list[dict[str, Any]] = []
        for item, told in self._items(reply):
            at = {"output_index": len(output)}
            yield {"type": "response.output_item.added", **at, "item": {**item, "status": "in_progress"}}
            for event in told:
                yield {**event, **at, "item_id": item["id"]}
            yield {"type": "response.output_item.done", **at, "item": item}
            output.append(item)
        if isinstance(reply, ThinkingReply) and reply.failed:
            error = {"code": reply.failed, "message": "failed"}
            yield {"type": "response.failed", "response": {**response, "status": "failed", "output": output, "error": error}}
            return
        incomplete = reply.incomplete if isinstance(reply, ThinkingReply) else None
        end = {**response, "status": "incomplete" if incomplete else "completed", "output": output, "usage": USAGE}
        end["incomplete_details"] = {"reason": incomplete} if incomplete else None
        yield {"type": f"response.{end['status']}", "response": end}

    def _items(self, reply: Reply) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        self._count += 1
        thought = None
        if isinstance(reply, ThinkingReply) and reply.reasoning:
            summary = [{"type": "summary_text", "text": reply.reasoning}]
            thought = {
                "id": f"rs_{self._count}",
                "type": "reasoning",
                "summary": summary,
                "encrypted_content": f"enc{self._count}",
            }
            deltas = [
                {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": word}
                for word in words(reply.reasoning)
            ]
            yield thought, [{"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": summary[0]}, *deltas]
        if reply.text:
            content = [{"type": "output_text", "text": reply.text, "annotations": []}]
            message = {
                "id": f"msg_{self._count}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
            yield (
                message,
                [
                    {"type": "response.output_text.delta", "content_index": 0, "delta": word, "logprobs": []}
                    for word in words(reply.text)
                ],
            )
        for number, call in enumerate(reply.calls):
            item = {"id": f"fc_{self._count}_{number}", "type": "function_call", "call_id": call.id, "name": call.name}
            if thought and not number:
                self._thoughts[call.id] = thought
            delta = {"type": "response.function_call_arguments.delta", "delta": call.arguments}
            yield {**item, "arguments": call.arguments, "status": "completed"}, [delta]

    def _refusal_of_input(self, items: Any) -> dict[str, Any] | None:
        if not items:
            return _error("Invalid 'input': empty array.", "input")
        awaited: set[str] = set()
        returned: set[str] = set()
        before: dict[str, Any] = {}
        for item in items:
            kind = item.get("type", "message")
            if kind == "function_call":
                if not NAME.fullmatch(item["name"]):
                    return _error("Invalid 'input[0].name': string does not match pattern.", "input")
                thought = self._thoughts.get(item["call_id"])
                if thought and thought["encrypted_content"] not in returned:
                    return _error("Item of type 'function_call' was provided without its required 'reasoning' item.", "input")
                awaited.add(item["call_id"])
            elif kind == "reasoning":
                returned.add(item["encrypted_content"])
            elif kind == "function_call_output":
                if item["call_id"] not in awaited:
                    return _error("No tool call found for function call output.", "input")
                awaited.discard(item["call_id"])
            elif kind == "message" and not isinstance(item.get("content"), str):
                return _error("Invalid type for 'input[0].content'.", "input")
            elif item.get("role") == "assistant" and "type" not in item:
                # Of llama.cpp's server; OpenAI's takes it.
                return _error("Cannot determine type of 'item'", "input")
            before = item
        if before.get("type") == "reasoning":
            return _error("Item of type 'reasoning' was provided without its required following item.", "input")
        return _error(f"No tool output found for function call {sorted(awaited)}.", "input") if awaited else None


def plain(reply: Reply) -> dict[str, Any]:
    """Return the fields that every reply has."""
    return {name: getattr(reply, name) for name in Reply.__dataclass_fields__}


def words(text: str) -> list[str]:
    """Return a text in pieces."""
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)]


def _error(message: str, param: str) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": param, "code": None}
