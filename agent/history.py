"""Stored messages as the model is shown them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from calls import REFUSED, ToolCall
from models import Message

# Stands for an answer that never came: strict servers want a user and the assistant to take turns.
UNANSWERED = "(This message was not answered.)"


def as_history(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Show stored messages to the model, in the form of the chat completions protocol.

    A tool call always comes with its result or its error, and a user's message with an answer.
    """
    history: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "user":
            _end_exchange(history)
            if message.content:
                history.append({"role": "user", "content": message.content})
        # A paused reply asks with its text: two messages of the assistant's in a row are refused by strict chat templates.
        asks = message.role == "assistant" and message.status == "paused"
        if message.tool_calls:
            # Ids of our own: servers may use the same one again in a later turn.
            calls = [(f"call_{message.seq}_{number}", call) for number, call in enumerate(message.tool_calls)]
            said = message.content or None if asks else None
            history.append({"role": "assistant", "content": said, "tool_calls": [_asked(*call) for call in calls]})
            history += [{"role": "tool", "tool_call_id": id, "content": outcome_json(call)} for id, call in calls]
        if message.role == "assistant" and message.content and not (asks and message.tool_calls):
            _say(history, message.content)
    _end_exchange(history)
    return history


def outcome_json(call: ToolCall) -> str:
    """Return what the model is told of a call's outcome, as JSON; one that nobody decided about was refused."""
    if call.status == "open":
        return to_json({"error": REFUSED}).decode()
    return to_json(call.result if call.error is None else {"error": call.error}).decode()


def _say(history: list[dict[str, Any]], content: str) -> None:
    """Let the assistant say something: behind a text whose calls are not shown any more, in the same message."""
    last = history[-1] if history else {}
    if last.get("role") == "assistant" and not last.get("tool_calls"):
        history[-1] = {"role": "assistant", "content": f"{last['content']}\n\n{content}"}
    else:
        history.append({"role": "assistant", "content": content})


def _end_exchange(history: list[dict[str, Any]]) -> None:
    if history and history[-1]["role"] != "assistant":
        history.append({"role": "assistant", "content": UNANSWERED})


def _asked(id: str, call: ToolCall) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": call.tool, "arguments": to_json(call.arguments).decode()}}
