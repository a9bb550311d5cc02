"""A message and what was done about it, as the framework takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent_framework import Content
from agent_framework import Message as RunMessage
from pydantic_core import to_json

from agent.history import outcome_json
from calls import ToolCall
from models import Message


def run_messages(message: Message, replies: Sequence[Message], decided: Mapping[str, ToolCall]) -> list[RunMessage]:
    """Return a message, and what was done about it, as the framework's messages; ``decided`` are calls by now, by id."""
    messages = [RunMessage("user", [message.content])]
    for said in (message, *replies):
        calls = [decided.get(call.id, call) for call in said.tool_calls]
        text = [Content.from_text(said.content)] if said.role == "assistant" and said.content else []
        asked = [Content.from_function_call(call.id, call.tool, arguments=to_json(call.arguments).decode()) for call in calls]
        if text or asked:
            messages.append(RunMessage("assistant", [*text, *asked]))
        messages += [RunMessage("tool", [Content.from_function_result(call.id, result=outcome_json(call))]) for call in calls]
    return messages
