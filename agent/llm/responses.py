"""The wire format of the Responses API (https://platform.openai.com/docs/api-reference/responses), with nothing stored there.

Reasoning models keep what they have thought between the tool calls of a turn: it comes encrypted, as items, and goes back with
the results. Between turns it is not kept. Their thoughts for people come as summaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent_framework import FunctionTool
from pydantic_core import to_json

from agent.history import as_history
from agent.llm.chat_completions import parse_json, run_messages, tool_request, with_valid_names
from agent.llm.completion import Completion, CompletionBuilder
from agent.llm.server_error import ServerError, error_in
from agent.llm.wire import ModelRequest
from agent.usage import CallUsage, detail_in
from models import Message

PATH = "/responses"
TEXT_DELTAS = frozenset({"response.output_text.delta", "response.refusal.delta"})
REASONING_DELTAS = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})
FAILED = frozenset({"failed", "cancelled"})
ENDS = frozenset({"response.completed", "response.incomplete"})
# Of an answer that is not whole, in the words of Chat Completions.
REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


class Responses:
    """:class:`~agent.llm.wire.Wire` of the Responses API."""

    path = PATH

    def render_history(self, history: Sequence[Message]) -> bytes:
        """Return stored messages as the items of a request's input."""
        return to_json(list(_as_items(with_valid_names(as_history(history)))))[1:-1]

    def render_tool(self, tool: FunctionTool) -> bytes:
        """Return how a tool is described: as for Chat Completions, but flat."""
        return to_json({"type": "function", "strict": False, **tool.to_json_schema_spec()["function"]})

    def render_request(self, request: ModelRequest) -> bytes:
        """Return a request's body. Nothing is stored at the service, so its reasoning is asked for with the answer."""
        body: dict[str, Any] = {
            "model": request.model,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"summary": "auto"},
            "stream": request.stream,
            **request.options,
        }
        if request.instructions:
            body["instructions"] = request.instructions
        if request.tools:
            body["tool_choice"] = request.tool_choice
        items = [request.history]
        for message in run_messages(request.messages):
            if calls := message.get("tool_calls"):
                items.append(request.carried.get(calls[0]["id"], b""))
            items.append(to_json(list(_as_items([message])))[1:-1])
        rendered = to_json(body)[:-1] + b',"input":[' + b",".join(filter(None, items)) + b"]"
        return rendered + (b',"tools":[' + b",".join(request.tools) + b"]}" if request.tools else b"}")

    def reader(self, builder: CompletionBuilder) -> ResponseReader:
        """Return what reads an answer."""
        return ResponseReader(builder)


class ResponseReader:
    """:class:`~agent.llm.wire.Reader` of the Responses API: of its events, or of an answer as a whole."""

    def __init__(self, builder: CompletionBuilder) -> None:
        self._builder = builder
        self._carried: list[bytes] = []
        self._told: set[tuple[str, object]] = set()
        self._taken: set[tuple[object, ...]] = set()

    def take(self, data: bytes) -> None:
        """Take an event, or a whole answer, as JSON.

        :raises ServerError: if it is an error.
        :raises ValueError, TypeError, AttributeError, LookupError: if it is neither.
        """
        event: Any = parse_json(data)
        kind = event.get("type")
        if kind is None:
            self._take_answer(event)
        elif kind in TEXT_DELTAS:
            self._told |= _marks("message", event.get("item_id"), event.get("output_index"))
            self._builder.add_text(event["delta"])
        elif kind in REASONING_DELTAS:
            self._told |= _marks("reasoning", event.get("item_id"), event.get("output_index"))
            self._builder.add_reasoning(event["delta"])
        elif kind == "response.reasoning_summary_part.added" and event.get("summary_index"):
            self._builder.add_reasoning("\n\n")
        elif kind == "response.output_item.done":
            self._take_item(event["item"], event.get("output_index"))
        elif kind == "response.failed":
            raise ServerError(200, event["response"], {})
        elif kind == "error":
            raise ServerError(200, {"error": event}, {})
        elif kind in ENDS:
            if not self._taken:
                # Some servers say only at the end what they have not told in pieces.
                self._take_items(event["response"])
            self._take_end(event["response"])

    def end(self, *, is_done: bool) -> Completion:  # noqa: ARG002 - this format marks its end itself
        """Return the answer.

        :raises ModelUnavailable: if it has no end.
        """
        return self._builder.build(carried=b",".join(self._carried))

    def _take_answer(self, answer: Any) -> None:
        if error_in(answer):
            raise ServerError(200, answer, {})
        if answer["output"] is None:
            raise TypeError("an answer without its output")
        self._take_items(answer)
        self._take_end(answer)

    def _take_items(self, answer: Any) -> None:
        for index, item in enumerate(answer.get("output") or ()):
            self._take_item(item, index)

    def _take_end(self, answer: Any) -> None:
        if answer.get("error") or answer.get("status") in FAILED:
            raise ServerError(200, answer, {})
        if isinstance(model := answer.get("model"), str):
            self._builder.model = model
        if told := answer.get("usage"):
            tell_usage(self._builder.usage, told)
        details = answer.get("incomplete_details") or {}
        reason = REASONS.get(str(details.get("reason")), "length") if answer.get("status") == "incomplete" else "stop"
        self._builder.finish_reason = "tool_calls" if self._builder.calls and reason == "stop" else reason

    def _take_item(self, item: Any, index: object) -> None:
        """Take an item that is whole, once; of its texts, what has not been told in pieces."""
        kind, id = item["type"], item.get("id")
        taken = (id, index, item.get("call_id"))
        if taken in self._taken and any(each is not None for each in taken):
            return
        self._taken.add(taken)
        # Some servers name an item otherwise in each event, or not at all.
        is_told = not self._told.isdisjoint({*_marks(kind, id, index), (kind, None)})
        if kind == "message" and not is_told:
            for part in item.get("content") or ():
                self._builder.add_text(part.get("text") or part.get("refusal") or "")
        elif kind == "reasoning":
            if not is_told:
                parts = item.get("summary") or item.get("content") or ()
                self._builder.add_reasoning("\n\n".join(part["text"] for part in parts))
            if item.get("encrypted_content"):
                # As it came, but for what only says how it came.
                self._carried.append(to_json({name: value for name, value in item.items() if name != "status"}))
        elif kind == "function_call":
            call = tool_request(item.get("call_id"), item.get("name"), item.get("arguments"))
            self._builder.add_call(call)
            self._builder.count(call.arguments)


def _marks(kind: str, id: object, index: object) -> set[tuple[str, object]]:
    """Return under what an item is known: its id and its place, or only what it is."""
    return {(kind, each) for each in (id, index) if each is not None} or {(kind, None)}


def tell_usage(usage: CallUsage, told: Any) -> None:
    """Take the count of an answer, if there is a sound one."""
    read, written = detail_in(told, "input_tokens"), detail_in(told, "output_tokens")
    if read and written is not None:
        cached = detail_in(told.get("input_tokens_details"), "cached_tokens")
        reasoning = detail_in(told.get("output_tokens_details"), "reasoning_tokens")
        usage.tell(read, written, cached_input_tokens=cached, reasoning_tokens=reasoning)


def _as_items(messages: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Return messages of Chat Completions as items."""
    for message in messages:
        if message["role"] == "tool":
            yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}
            continue
        if message["content"]:
            yield {"type": "message", "role": message["role"], "content": message["content"]}
        for call in message.get("tool_calls") or ():
            yield {"type": "function_call", "call_id": call["id"], **call["function"]}
