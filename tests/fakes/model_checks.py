"""What a model's service refuses (400) in a request: parameters it does not know, and messages that do not fit together.

Written from the protocol's public reference: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import json
import re
from typing import Any

OPTIONS = ("reasoning_effort", "temperature", "max_tokens", "max_completion_tokens")
PARAMETERS = {"model", "messages", "tools", "tool_choice", "stream", "stream_options", *OPTIONS}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def refusal_of(request: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error that a request is refused with, if it is."""
    for parameter in request.keys() - PARAMETERS:
        return _error(f"Unknown parameter: '{parameter}'.", parameter, "unknown_parameter")
    if "stream_options" in request and not request.get("stream"):
        return _error("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    tools = request.get("tools")
    if tools == []:
        return _error("Invalid 'tools': empty array.", "tools", "empty_array")
    if "tool_choice" in request and not tools:
        return _error("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    for number, tool in enumerate(tools or ()):
        if not NAME.fullmatch(tool["function"]["name"]):
            return _error(f"Invalid 'tools[{number}].function.name'.", f"tools[{number}].function.name", "invalid_value")
    return _refusal_of_messages(request.get("messages"))


def _refusal_of_messages(messages: Any) -> dict[str, Any] | None:
    if not messages:
        return _error("Invalid 'messages': empty array.", "messages", "empty_array")
    awaited: set[str] = set()
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if message["role"] == "tool":
            if message.get("tool_call_id") not in awaited:
                text = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
                return _error(text, f"{place}.role")
            awaited.discard(message["tool_call_id"])
            continue
        if awaited:
            return _error(f"'tool_call_ids' did not have response messages: {sorted(awaited)}", place)
        if number and message["role"] == messages[number - 1]["role"]:
            # Chat templates of Mistral's and Google's models, which vLLM and llama.cpp's server apply.
            return _error("Conversation roles must alternate user/assistant.", f"{place}.role")
        calls = message.get("tool_calls") or []
        if message.get("content") is None and not calls:
            return _error(f"Invalid value for 'content': expected a string, got null: {place}", f"{place}.content")
        if any(not NAME.fullmatch(call["function"]["name"]) for call in calls):
            return _error(f"Invalid '{place}.tool_calls[0].function.name'.", f"{place}.tool_calls[0].function.name")
        if not all(_is_object(call["function"]["arguments"]) for call in calls):
            # vLLM, llama.cpp's server and Ollama read them again for their templates.
            return _error(f"Invalid '{place}.tool_calls[0].function.arguments': no JSON object.", place)
        awaited = {call["id"] for call in calls}
    return None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _error(message: str, param: str, code: str | None = None) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": param, "code": code}
