"""One run of the agent, and who is told of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol

from agent_framework import ChatOptions
from pydantic import JsonValue
from pydantic_core import to_json

from agent.acting import ActingCalls
from agent.budget import ReplyBudget
from agent.emitted_text import EmittedText
from agent.request import CallKeys, RunRequest
from agent.text import storable
from agent.usage import CallUsage, sum_details
from calls import MAX_CALL_ID, UNKNOWN, Awaited, CallStatus, ToolCall
from models import Citation
from tools.tool import Source

# The name under which the framework hands a run to the middleware.
RUN_KEY = "run"
MAX_TOOL_NAME = 64
NO_ROOM = "the turn's tool calls are too large together"
SNIPPET_MAX_LENGTH = 1000


class RunObserver(Protocol):
    """Told what happens in a run, in order, on the event loop; its methods must not raise."""

    def text(self, piece: str) -> None:
        """The answer's next piece of text."""

    def reasoning(self, piece: str) -> None:
        """The next piece of what the model thinks before it answers."""

    def tool_started(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> None:
        """A tool runs that the model asked for."""

    def tool_progress(self, call_id: str, text: str) -> None:
        """A tool says how far it is."""

    def source_found(self, source: Citation) -> None:
        """A tool has found something that the answer may cite."""

    def tool_completed(self, call: ToolCall) -> None:
        """A tool call has its result or its error."""

    def call_opened(self, call: ToolCall) -> None:
        """A tool call waits for somebody: the run ends after the calls beside it."""

    def tokens_used(self, input_tokens: int, output_tokens: int) -> None:
        """The run has ended, however it has: what all its model calls have read and written."""


class RunOptions(ChatOptions[None], total=False):
    """What the framework hands to the model's client with each call, beside its own options."""

    run: Run


class BegunCall(NamedTuple):
    """A call as it is told and kept; ``key`` is that of its attempts, ``error`` says why it may not run."""

    id: str
    tool: str
    arguments: dict[str, JsonValue]
    key: str
    error: str | None

    def ended(self, result: JsonValue, error: str | None, *, status: CallStatus, duration_ms: int, acts: bool) -> ToolCall:
        """Return the call with its result or its error."""
        return ToolCall(
            id=self.id,
            tool=self.tool,
            arguments=self.arguments,
            status=status,
            result=result,
            error=error,
            duration_ms=duration_ms,
            key=self.key if acts else None,
        )


class Run:
    """One run of the agent: what its observer has been told.

    ``history`` are the messages before this one; ``preferences`` are values for parameters of tools, by name, for calls that
    leave them out. ``model`` is what the model calls itself, ``asked_ids`` are the ids of the calls that it has asked for,
    ``carried`` is what goes back to it before the calls of an answer, by the id of the first, and ``rendered_history`` is the
    history as its service takes it, once it has been made. ``client_tools`` are the names of the client's own.
    """

    def __init__(
        self, observer: RunObserver, request: RunRequest, preferences: Mapping[str, JsonValue] = MappingProxyType({})
    ) -> None:
        self._observer = observer
        self.request = request
        self.history = request.history
        self.preferences = preferences
        self.model: str | None = None
        self.asked_ids = {call.id for said in (request.message, *request.paused) for call in said.tool_calls}
        self.carried = {id: text.encode() for id, text in request.carried.items()}
        self.rendered_history: bytes | None = None
        self.client_tools = {tool["name"] for tool in request.tools}
        self._ids = set(self.asked_ids)
        self._told: dict[str, str] = {}
        self._carrying: list[tuple[list[str], str]] = []
        self._handled: set[str] = set()
        self._indexes = {source.id: source.index for source in request.sources}
        self.calls = 0
        self._model_calls: list[CallUsage] = []
        # What is stored with the reply: the calls of the message, and of the reply that it goes on with.
        stored = [*request.message.tool_calls, *(request.paused[-1].tool_calls if request.paused else ())]
        self._budget = ReplyBudget(len(to_json(stored)) if stored else 0)
        self._text = EmittedText(self._budget.take_text, observer.text)
        self._reasoning = EmittedText(self._budget.take_reasoning, observer.reasoning)
        self._untold: set[str] = set()
        self._acting = ActingCalls(request)
        asked = (call for reply in request.paused for call in reply.tool_calls)
        self._keys = CallKeys(request.message, self._acting.earlier.values(), asked)
        for source in request.sources:
            observer.source_found(source)

    def text(self, piece: str) -> None:
        """Pass on a piece of text; what comes after a tool call begins a new paragraph.

        What a reply has no room for is left out, with a mark.
        """
        self._text.add(piece)

    def reasoning(self, piece: str) -> None:
        """Pass on a piece of reasoning, as :meth:`text` does; that of another model call begins a new paragraph."""
        self._reasoning.add(piece)

    def call_model(self, sent: int) -> CallUsage:
        """Take note of a model call whose request has ``sent`` bytes, and return the count of what it uses."""
        usage = CallUsage(sent)
        self._model_calls.append(usage)
        self._reasoning.end_paragraph()
        return usage

    @property
    def model_calls(self) -> int:
        """How many model calls there were so far."""
        return len(self._model_calls)

    def usage(self) -> tuple[int, int]:
        """Return the tokens that the model calls have read and written so far."""
        return sum(call.input_tokens for call in self._model_calls), sum(call.output_tokens for call in self._model_calls)

    def usage_details(self) -> dict[str, int]:
        """Return the details of :meth:`usage` that the model tells, by name."""
        return sum_details(self._model_calls)

    def end_paragraph(self) -> None:
        """Say that the model has stopped writing to call a tool."""
        self._text.end_paragraph()

    def begin_call(self, key: str, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> BegunCall:
        """Take note of a call that the model asks for. Its id is the model's, unless that is missing, used already, or unfit.

        Arguments that there is no room for are left out, and the call may not run then. Where there is not even room for the
        call itself, nobody is told of it.
        """
        error = None
        if not self._budget.take_call(call_id, tool, arguments):
            call_id, tool, arguments, error = "", tool[:MAX_TOOL_NAME], {}, NO_ROOM
        is_fit = 0 < len(call_id) <= MAX_CALL_ID and call_id.isprintable() and call_id not in self._ids
        id = call_id if is_fit else f"call_{uuid.uuid4().hex[:24]}"
        self._ids.add(id)
        self._told[call_id] = id
        self._handled.add(key)
        self._text.end_paragraph()
        self.calls += 1
        if error and not self._budget.take_call(id, tool, arguments):
            self._untold.add(id)
        return BegunCall(id, tool, arguments, self._keys.next(tool, arguments), error)

    def carry(self, ids: list[str], items: bytes) -> None:
        """Take what goes back to the model before the calls with these ids, which it has asked for in one answer."""
        self.carried[ids[0]] = items
        self._carrying.append((ids, items.decode()))

    def carried_by_told(self) -> dict[str, str]:
        """Return what goes back to the model, by the id of that call of an answer which was told first."""
        carried = dict(self.request.carried)
        for ids, items in self._carrying:
            if told := next((told for id, told in self._told.items() if id in ids), None):
                carried[told] = items
        return carried

    def start_call(self, call: BegunCall) -> None:
        """Announce a call, unless there is no room for it."""
        if call.id not in self._untold:
            self._observer.tool_started(call.id, call.tool, call.arguments)

    def open_call(self, call: BegunCall, awaits: Awaited, expires_at: datetime) -> None:
        """Announce a call that waits for somebody."""
        waiting = call.ended(None, None, status="open", duration_ms=0, acts=True)
        self._observer.call_opened(waiting.model_copy(update={"awaits": awaits, "expires_at": expires_at}))

    def has_room_for(self, result: bytes) -> bool:
        """Take room for a call's result, as JSON, if there is any."""
        return self._budget.take_json(result)

    def index_of(self, source: Source) -> int:
        """Return a source's number in this run; one that is found again keeps it."""
        if source.id not in self._indexes:
            self._indexes[source.id] = index = len(self._indexes) + 1
            citation = as_citation(index, source)
            if self._budget.take_json(to_json(citation)):
                self._observer.source_found(citation)
        return self._indexes[source.id]

    def end_call(self, call: ToolCall) -> None:
        """Announce a call's outcome, unless nobody has been told of the call."""
        if call.id not in self._untold:
            self._observer.tool_completed(call)

    def emit_progress(self, call: BegunCall, text: str) -> None:
        """Announce how far a call is."""
        self._observer.tool_progress(call.id, text)

    def repeat_call(self, call: BegunCall, earlier: ToolCall) -> ToolCall:
        """Announce a call that an earlier attempt has made, and return it with what came of it there, if there is room."""
        self.start_call(call)
        ended = earlier.model_copy(update={"id": call.id})
        if not self.has_room_for(to_json(earlier.result)):
            ended = ended.model_copy(update={"status": "unknown", "result": None, "error": f"{NO_ROOM}; {UNKNOWN}"})
        self.end_call(ended)
        return ended

    def made_before(self, call: BegunCall) -> ToolCall | None:
        """Return a call as an earlier attempt has made it, or may have."""
        return self._acting.earlier.get(call.key)

    async def record(self, call: BegunCall) -> None:
        """Record that a call is about to act.

        :raises ChatError: if that fails.
        """
        await self._acting.record(call.ended(None, UNKNOWN, status="unknown", duration_ms=0, acts=True))

    def is_handled(self, key: str) -> bool:
        """Whether the call with this key has been announced."""
        return key in self._handled


def as_citation(index: int, source: Source) -> Citation:
    """Return a source as an answer cites it."""
    fields = {"id": source.id, "title": source.title, "url": source.url, "snippet": source.snippet[:SNIPPET_MAX_LENGTH]}
    return Citation(index=index, **storable(fields))
