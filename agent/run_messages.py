"""A message and what was done about it, as the framework takes it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from agent_framework import Content
from agent_framework import Message as RunMessage
from pydantic_core import to_json

from agent.history import outcome_json
from calls import ToolCall
from models import Message


def run_messages(
    message: Message,
    replies: Sequence[Message],
    decided: Mapping[str, ToolCall],
    carried: Container[str],
    *,
    keeps_ids: bool,
) -> list[RunMessage]:
    """Return a message, and what was done about it, as the framework's messages.

    ``decided`` are calls by now, by id; ``carried`` has the ids before whose calls the model needs something back. Unless the
    model's service ``keeps_ids``, it is not told of those that come without: it would miss what it has thought before them.
    """
    messages = [RunMessage("user", [message.content]), *_asking("", _renamed(message.seq, message.tool_calls))]
    for reply in replies:
        text, calls = reply.content, [decided.get(call.id, call) for call in reply.tool_calls]
        for asked in _by_model_call(calls, carried):
            is_known = keeps_ids or (asked and asked[0].id in carried)
            messages += _asking(text, asked if is_known else _renamed(reply.seq, asked))
            text = ""
    return messages


def _renamed(seq: int, calls: Sequence[ToolCall]) -> list[ToolCall]:
    return [call.model_copy(update={"id": f"call_{seq}_{number}"}) for number, call in enumerate(calls)]


def _by_model_call(calls: Sequence[ToolCall], carried: Container[str]) -> list[list[ToolCall]]:
    """Return a reply's calls as the model has asked for them, as far as that can be told."""
    asked: list[list[ToolCall]] = [[]]
    for call in calls:
        if call.id in carried and asked[-1]:
            asked.append([])
        asked[-1].append(call)
    return asked


def _asking(text: str, calls: Sequence[ToolCall]) -> list[RunMessage]:
    """Return what the assistant has said and asked for at once, and what came of it."""
    said = [Content.from_text(text)] if text else []
    asked = [Content.from_function_call(call.id, call.tool, arguments=to_json(call.arguments).decode()) for call in calls]
    results = [RunMessage("tool", [Content.from_function_result(call.id, result=outcome_json(call))]) for call in calls]
    return [RunMessage("assistant", [*said, *asked]), *results] if said or asked else []
