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
    """

    owner: Owner
    message: Message
    record_calls: RecordCalls
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

    def __init__(self, message_id: str, made: Iterable[ToolCall], paused: Iterable[ToolCall]) -> None:
        self._message_id = message_id
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
        while (key := self._key(tool, arguments, number)) in self._taken:
            number += 1
        self._taken.add(key)
        return key

    def _key(self, tool: str, arguments: Mapping[str, JsonValue], number: int) -> str:
        text = to_json([self._message_id, tool, canonical(arguments), number])
        return f"key_{hashlib.sha256(text).hexdigest()[:40]}"


def _call_text(tool: str, arguments: Mapping[str, JsonValue]) -> bytes:
    return to_json([tool, canonical(arguments)])
