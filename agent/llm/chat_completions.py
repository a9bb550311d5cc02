"""The wire format of Chat Completions (https://platform.openai.com/docs/api-reference/chat), as servers really speak it.

Beside OpenAI's and Azure's: llama.cpp, Ollama, vLLM and what imitates them leave fields out, send calls whole or in pieces,
with and without index and id, repeat a name, or answer with an error after they have said that all is well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from agent_framework import FunctionTool
from agent_framework import Message as RunMessage
from pydantic_core import from_json, to_json

from agent.history import as_history
from agent.llm.completion import Completion, CompletionBuilder, ToolRequest
from agent.llm.server_error import ServerError, error_in
from agent.llm.think_tags import ThinkTags
from agent.llm.wire import ModelRequest
from agent.text import storable
from agent.usage import CallUsage, detail_in
from models import Message

PATH = "/chat/completions"
DONE = b"[DONE]"
# Why an answer ends that is not whole: of OpenRouter, vLLM and SGLang.
FAILED = ("error", "abort")
NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
MAX_NAME = 64


class ChatCompletions:
    """:class:`~agent.llm.wire.Wire` of Chat Completions."""

    path = PATH

    def render_history(self, history: Sequence[Message]) -> bytes:
        """Return stored messages as the items of a request's list."""
        return _items(with_valid_names(as_history(history)))

    def render_tool(self, tool: FunctionTool) -> bytes:
        """Return how a tool is described."""
        return to_json(tool.to_json_schema_spec())

    def render_request(self, request: ModelRequest) -> bytes:
        """Return a request's body: the messages in parts, of which the history is rendered already."""
        body: dict[str, Any] = {"model": request.model, **request.options}
        if request.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if request.tools:
            body["tool_choice"] = request.tool_choice
        said = run_messages(request.messages)
        head = [{"role": "system", "content": request.instructions}] if request.instructions else []
        items = filter(None, (_items(head), request.history, _items(said)))
        rendered = to_json(body)[:-1] + b',"messages":[' + b",".join(items) + b"]"
        return rendered + (b',"tools":[' + b",".join(request.tools) + b"]}" if request.tools else b"}")

    def reader(self, builder: CompletionBuilder) -> AnswerReader:
        """Return what reads an answer."""
        return AnswerReader(builder)


class AnswerReader:
    """:class:`~agent.llm.wire.Reader` of Chat Completions."""

    def __init__(self, builder: CompletionBuilder) -> None:
        self._builder = builder
        self._tags = ThinkTags()
        self._by_index: dict[int, ToolRequest] = {}

    def take(self, data: bytes) -> None:
        """Take a piece, as JSON.

        :raises ServerError: if it is an error.
        :raises ValueError, TypeError, AttributeError, LookupError: if it is none.
        """
        chunk: Any = parse_json(data)
        if error_in(chunk):
            raise ServerError(200, chunk, {})
        if not self._builder.model and isinstance(model := chunk.get("model"), str):
            self._builder.model = model
        if told := chunk.get("usage"):
            _tell_usage(self._builder.usage, told)
        choices = chunk.get("choices")
        if not choices:
            return
        choice = choices[0]
        reason = choice.get("finish_reason")
        if reason in FAILED:
            raise ServerError(200, chunk if chunk.get("error") else choice, {})
        if reason:
            self._builder.finish_reason = str(reason)
        delta = choice.get("delta") or choice.get("message")
        if not delta:
            return
        self._builder.add_reasoning(_reasoning_in(delta))
        if content := delta.get("content") or delta.get("refusal"):
            self._take_content(content)
        for call in delta.get("tool_calls") or ():
            self._take_call(call)

    def end(self, *, is_done: bool) -> Completion:
        """Return the answer. ``is_done`` says that the server has marked its end.

        :raises ModelUnavailable: if it has no end.
        """
        self._add(self._tags.flush())
        builder = self._builder
        if is_done and not builder.finish_reason and not builder.is_empty:
            builder.finish_reason = "tool_calls" if builder.calls else "stop"
        return builder.build()

    def _take_content(self, content: Any) -> None:
        """Take text, or its parts, as Mistral and some proxies send it."""
        if isinstance(content, str):
            self._add(self._tags.take(content))
            return
        for part in content:
            if isinstance(part, dict):
                self._builder.add_reasoning(_thinking_in(part))
                self._add(self._tags.take(part.get("text") or ""))

    def _add(self, parts: tuple[str, str]) -> None:
        reasoning, text = parts
        self._builder.add_reasoning(reasoning)
        self._builder.add_text(text)

    def _take_call(self, piece: Any) -> None:
        function = piece.get("function") or {}
        asked = tool_request(piece.get("id"), function.get("name"), function.get("arguments"))
        call = self._call_of(piece.get("index"), asked.id, asked.name)
        call.id = call.id or asked.id
        call.name = call.name or asked.name
        call.arguments += asked.arguments
        self._builder.count(asked.arguments)

    def _call_of(self, index: object, id: str, name: str) -> ToolRequest:
        """Return the call that a piece belongs to: by its index, unless another call uses that again; else the last one."""
        calls = self._builder.calls
        if isinstance(index, int):
            known = self._by_index.get(index)
        else:
            # A name again, behind arguments that are whole, is another call, whatever its id.
            known = next((call for call in calls if id and call.id == id and not (name and _is_whole(call))), None)
        if known and not (name and id and known.id and id != known.id):
            return known
        if not known and not name and calls:
            return calls[-1]
        call = ToolRequest(id, "")
        self._add(self._tags.flush())
        self._builder.add_call(call)
        if isinstance(index, int):
            self._by_index[index] = call
        return call


def parse_json(data: bytes) -> Any:
    """Return JSON as the model has written it. Lone surrogates, which the quicker parser refuses, are replaced.

    :raises ValueError: if it is none, or nested too deeply.
    """
    try:
        return from_json(data)
    except ValueError:
        pass
    try:
        return storable(json.loads(data))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def tool_request(id: Any, name: Any, arguments: Any) -> ToolRequest:
    """Return a call as a server asks for it: some send numbers as ids, and arguments as an object.

    :raises TypeError: if the name is none.
    """
    if not isinstance(name or "", str):
        raise TypeError("a tool's name is no text")
    if arguments is None:
        arguments = ""
    elif not isinstance(arguments, str):
        arguments = to_json(arguments).decode()
    return ToolRequest("" if id is None else str(id), name or "", arguments)


def run_messages(messages: Iterable[RunMessage]) -> list[dict[str, Any]]:
    """Return what was said in this run as messages of the protocol."""
    return with_valid_names([wire for message in messages for wire in _as_wire(message)])


def _as_wire(message: RunMessage) -> list[dict[str, Any]]:
    results = [content for content in message.contents if content.type == "function_result"]
    if results:
        return [{"role": "tool", "tool_call_id": each.call_id, "content": _result(each.result)} for each in results]
    calls = [
        {"id": each.call_id, "type": "function", "function": {"name": each.name, "arguments": _arguments(each.arguments)}}
        for each in message.contents
        if each.type == "function_call"
    ]
    if calls:
        # Always with its content: a server was seen to fail without that key.
        return [{"role": "assistant", "content": message.text or None, "tool_calls": calls}]
    return [{"role": str(message.role), "content": message.text}]


def with_valid_names(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages whose tool calls have names that the protocol allows: models make others up, and servers refuse them."""
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call["function"]
            function["name"] = NOT_IN_NAMES.sub("_", function["name"] or "_")[:MAX_NAME]
    return messages


def _items(messages: list[dict[str, Any]]) -> bytes:
    return to_json(messages)[1:-1]


def _is_whole(call: ToolRequest) -> bool:
    try:
        from_json(call.arguments)
    except ValueError:
        return False
    return True


def _result(result: Any) -> str:
    return result if isinstance(result, str) else to_json(result).decode()


def _arguments(arguments: Any) -> str:
    """Return a call's arguments as the text of an object: what a model has written otherwise, servers refuse to read again."""
    if isinstance(arguments, str):
        try:
            written = parse_json(arguments.encode(errors="replace")) if arguments else {}
        except ValueError:
            written = None
        arguments = written if isinstance(written, dict) else {"raw": arguments}
    return to_json(arguments or {}).decode()


def _reasoning_in(delta: Any) -> str:
    """Return the reasoning that a piece brings beside its text; servers that have both fields send the same in each."""
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    if isinstance(reasoning, dict):
        reasoning = reasoning.get("text")
    return reasoning if isinstance(reasoning, str) else ""


def _thinking_in(part: dict[str, Any]) -> str:
    """Return the reasoning in a part of an answer: text, or parts of it."""
    thinking = part.get("thinking") or ""
    return thinking if isinstance(thinking, str) else "".join(each.get("text") or "" for each in thinking)


def _tell_usage(usage: CallUsage, told: Any) -> None:
    """Take the count of an answer, if there is a sound one."""
    read, written = detail_in(told, "prompt_tokens"), detail_in(told, "completion_tokens")
    if read and written is not None:
        cached = detail_in(told.get("prompt_tokens_details"), "cached_tokens")
        reasoning = detail_in(told.get("completion_tokens_details"), "reasoning_tokens")
        usage.tell(read, written, cached_input_tokens=cached, reasoning_tokens=reasoning)
