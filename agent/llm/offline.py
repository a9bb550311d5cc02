"""The model of the embedded set-up: no network, no randomness, and no language model either.

It decides by rules which of the registered tools to call for the user's last message, words its answer from their results, and
says what it is. Only the user's own message is looked at for calls: nothing in a tool's result can make it call another.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
    UsageDetails,
)
from agent_framework.observability import ChatTelemetryLayer

from tools.tool import ToolSpec, spec_of

MODEL = "offline"
WORDS_PER_PIECE = 3
MAX_HEARD = 2000
# "call <tool> {json}" calls any tool with any arguments, without a rule that listens for it.
CALL = re.compile(r"\s*call\s+(?P<tool>[A-Za-z_]\w*)\s*(?P<arguments>\{.*\})?\s*", re.S)
JOKE = "I know one about a lease, but it has expired."


class OfflineChatClient(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], ChatTelemetryLayer[Any], BaseChatClient[Any]):
    """A chat client of the Agent Framework that works by rules, streaming and not."""

    OTEL_PROVIDER_NAME = MODEL

    def __init__(
        self,
        *,
        delay_seconds: float = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **others: Any,
    ) -> None:
        """Make it; it waits ``delay_seconds`` before each piece of its text, as a model that thinks would."""
        super().__init__(**others)
        self._delay_seconds = delay_seconds
        self._sleep = sleep

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **_: Any
    ) -> Awaitable[ChatResponse[Any]] | ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        contents = respond(messages, options)
        usage = _usage(messages, contents)
        if on_call := options.get("on_call"):
            on_call(0).tell(usage["input_token_count"], usage["output_token_count"])
        if stream:
            return self._build_response_stream(self._updates(contents, usage))
        return self._complete(contents, usage)

    async def _complete(self, contents: list[Content], usage: UsageDetails) -> ChatResponse[Any]:
        async for _ in self._paced(contents):
            pass
        return ChatResponse(
            messages=[Message("assistant", contents)],
            response_id=f"offline-{uuid.uuid4().hex}",
            model=MODEL,
            usage_details=usage,
            finish_reason=_finish_reason(contents),
        )

    async def _updates(self, contents: list[Content], usage: UsageDetails) -> AsyncIterator[ChatResponseUpdate]:
        id = f"offline-{uuid.uuid4().hex}"
        async for piece in self._paced(contents):
            yield ChatResponseUpdate(contents=[piece], role="assistant", model=MODEL, response_id=id, message_id=id)
        told = [Content.from_usage(usage)]
        end = ChatResponseUpdate(contents=told, role="assistant", model=MODEL, response_id=id, message_id=id)
        end.finish_reason = _finish_reason(contents)
        yield end

    async def _paced(self, contents: list[Content]) -> AsyncIterator[Content]:
        for content in contents:
            for piece in _pieces(content):
                if self._delay_seconds and piece.type == "text":
                    await self._sleep(self._delay_seconds)
                yield piece


async def ping_offline_model(client: OfflineChatClient) -> None:
    """Let the model answer something."""
    await client.get_response([Message("user", ["Hello"])])


def respond(messages: Sequence[Message], options: Mapping[str, Any]) -> list[Content]:
    """Return what the model says to a conversation: tool calls, or one text."""
    last_user = max(number for number, message in enumerate(messages) if message.role == "user")
    text = messages[last_user].text
    since = [content for message in messages[last_user + 1 :] for content in message.contents]
    results = [content for content in since if content.type == "function_result"]
    tools = {tool.name: spec_of(tool.func) for tool in options.get("tools") or [] if tool.func}
    if results:
        calls = {content.call_id: content for content in since if content.type == "function_call"}
        return [Content.from_text("\n\n".join(word_result(tools, calls[result.call_id], result) for result in results))]
    if options.get("tool_choice") != "none":
        wanted = list(plan_calls(text, tools, options.get("history") or []))
        if wanted:
            return [
                Content.from_function_call(f"call_{uuid.uuid4().hex[:24]}", name, arguments=arguments)
                for name, arguments in wanted
            ]
    return [Content.from_text(small_talk(text, tools))]


def plan_calls(text: str, tools: Mapping[str, ToolSpec], history: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the tool calls that a message asks for, with their arguments as JSON."""
    if (asked := CALL.fullmatch(text)) and asked["tool"] in tools:
        yield asked["tool"], asked["arguments"] or "{}"
        return
    earlier = [_heard(past["content"]) for past in history if past["role"] == "user"]
    text = _heard(text)
    for name, spec in tools.items():
        for arguments in spec.offline.listen(text, earlier) if spec.offline else ():
            yield name, json.dumps(arguments, ensure_ascii=False)


def _heard(text: str) -> str:
    """Return the beginning of a text, on one line: the listeners' patterns take the square of its length at worst."""
    return " ".join(text[:MAX_HEARD].split())


def word_result(tools: Mapping[str, ToolSpec], call: Content, result: Content) -> str:
    """Put a tool's result, or its error, into words."""
    value = json.loads(str(result.result))
    if isinstance(value, dict) and set(value) == {"error"}:
        return f"That did not work: {value['error']}."
    spec = tools.get(call.name or "")
    if spec and spec.offline:
        return spec.offline.say(call.parse_arguments() or {}, value)
    return f"{call.name}: {json.dumps(value, ensure_ascii=False)}"


def small_talk(text: str, tools: Mapping[str, ToolSpec]) -> str:
    """Answer what asks for no tool."""
    if re.search(r"\bjoke\b", text, re.I):
        return JOKE
    skills = [spec.offline.skill for spec in tools.values() if spec.offline]
    able = f"I can {', '.join(skills)}, and " if skills else "I can "
    return (
        f"I am the offline stand-in for a language model: I work by rules and do not understand language. {able}tell a joke. "
        "“call <tool> {json}” calls any tool. For real answers set OPENAI_API_KEY or AZURE_OPENAI_ENDPOINT (see the README)."
    )


def _pieces(content: Content) -> Iterator[Content]:
    if content.type != "text" or not content.text:
        yield content
        return
    words = re.findall(r"\s*\S+|\s+$", content.text)
    for start in range(0, len(words), WORDS_PER_PIECE):
        yield Content.from_text("".join(words[start : start + WORDS_PER_PIECE]))


def _finish_reason(contents: list[Content]) -> Any:
    return "tool_calls" if any(content.type == "function_call" for content in contents) else "stop"


def _usage(messages: Sequence[Message], contents: list[Content]) -> UsageDetails:
    """Estimate tokens as a quarter of the characters."""
    read = sum(_size(content) for message in messages for content in message.contents) // 4 + 1
    written = sum(_size(content) for content in contents) // 4 + 1
    return UsageDetails(input_token_count=read, output_token_count=written, total_token_count=read + written)


def _size(content: Content) -> int:
    return len(str(content.text or content.arguments or content.result or ""))
