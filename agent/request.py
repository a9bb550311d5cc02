"""What a run of the agent is asked: a message and what came before it, whose it is, and what was done about it already."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import JsonValue, ValidationError
from pydantic_core import to_json

from calls import ToolCall
from models import Citation, Message, Owner
from records import canonical

# Of the same tool with the same arguments, for one message.
MAX_CALLS = 50
MAX_DOUBLE = 2**1023
SOURCE = frozenset(Citation.model_fields)
# Records calls that are about to act; where that fails, none of them may run.
RecordCalls = Callable[[Sequence[ToolCall]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A message to answer, of ``owner``.

    ``history`` is what came before it, oldest first; ``paused`` are the replies to it that paused. Of the last one's calls the
    run makes those that are ``approved``, by id. ``tools`` are the client's own (name, description, JSON Schema of the
    parameters). ``carried`` is what the model needs back before the calls of a paused reply, by the id of the first.
    ``allowed_tools`` need not ask. ``record_calls`` is called before a tool acts, with all calls of the run that have acted.
    ``holds_lease`` tells whether the thread is still the run's: else others may have been told that an approved call, which is
    recorded already, will not be made.
    """

    owner: Owner
    message: Message
    record_calls: RecordCalls
    holds_lease: Callable[[], bool]
    history: Sequence[Message] = ()
    locale: str | None = None
    paused: Sequence[Message] = ()
    approved: frozenset[str] = frozenset()
    tools: Sequence[Mapping[str, JsonValue]] = ()
    carried: Mapping[str, str] = field(default_factory=dict)
    allowed_tools: frozenset[str] = frozenset()

    @property
    def sources(self) -> list[Citation]:
        """What tools have found for the paused replies: the answer may cite it by the numbers that the model knows."""
        calls = [call for reply in self.paused for call in reply.tool_calls]
        return list({source.id: source for call in calls for source in sources_in(call.result)}.values())


def sources_in(result: JsonValue) -> list[Citation]:
    """Return what a tool call's result has found, as an answer may cite it by the numbers that the model knows."""
    sources: list[Citation] = []
    for hit in result if isinstance(result, list) else []:
        if isinstance(hit, dict) and hit.keys() >= SOURCE:
            # Another tool may have fields of these names.
            with suppress(ValidationError):
                sources.append(Citation.model_validate(hit))
    return sources


class CallKeys:
    """Gives each call of a message a key that stays the same in every attempt to answer it.

    ``made`` are the calls of earlier attempts that have acted, or may have: the same calls get their keys first. ``paused`` are
    those of the message's paused replies: what asks for the same again is another call.
    """

    def __init__(self, message: Message, made: Iterable[ToolCall], paused: Iterable[ToolCall]) -> None:
        self._message = message
        self._taken = {call.key for call in paused}
        self._made: defaultdict[bytes, deque[str]] = defaultdict(deque)
        for call in made:
            if call.key and call.key not in self._taken:
                self._made[_call_text(call.tool, call.arguments)].append(call.key)
                self._taken.add(call.key)

    def next(self, tool: str, arguments: Mapping[str, JsonValue]) -> str:
        """Return the key of the next call of a tool with these arguments."""
        if made := self._made.get(_call_text(tool, arguments)):
            return made.popleft()
        number = 1
        while (key := call_key(self._message, tool, arguments, number)) in self._taken:
            number += 1
        self._taken.add(key)
        return key


def call_key(message: Message, tool: str, arguments: Mapping[str, JsonValue], number: int) -> str:
    """Return the key of a message's ``number``-th call of a tool with these arguments.

    A session's thread that was deleted and made anew has the same ids again; its messages have other times.
    """
    text = to_json([message.id, message.timestamp, tool, _as_doubles(canonical(arguments)), number])
    return f"key_{hashlib.sha256(text).hexdigest()[:40]}"


def is_asked_for(message: Message, call: ToolCall) -> bool:
    """Tell by its key whether a call was asked for to answer a message; of those that have no key nothing is known."""
    keys = (call_key(message, call.tool, call.arguments, number) for number in range(1, MAX_CALLS + 1))
    return call.key is not None and call.key in keys


def _call_text(tool: str, arguments: Mapping[str, JsonValue]) -> bytes:
    return to_json([tool, _as_doubles(canonical(arguments))])


def _as_doubles(value: JsonValue) -> JsonValue:
    """Return JSON with its numbers as Cosmos DB keeps them: what comes back from it has the same key."""
    if isinstance(value, dict):
        return {name: _as_doubles(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_doubles(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_DOUBLE else value
