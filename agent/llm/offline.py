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

from agent.run import Run, RunOptions
from tools.tool import ToolSpec, spec_of

MODEL = "offline"
WORDS_PER_PIECE = 3
MAX_HEARD = 2000
# "call <tool> {json}" calls any tool with any arguments, without a rule that listens for it.
CALL = re.compile(r"\s*call\s+(?P<tool>[A-Za-z_]\w*)\s*(?P<arguments>\{.*\})?\s*", re.S)
JOKE = "I know one about a lease, but it has expired."


class OfflineChatClient(
    FunctionInvocationLayer[RunOptions],
    ChatMiddlewareLayer[RunOptions],
    ChatTelemetryLayer[RunOptions],
    BaseChatClient[RunOptions],
):
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
        run: Run = options["run"]
        return (
            self._build_response_stream(self._stream(messages, run, options))
            if stream
            else self._complete(messages, run, options)
        )

    async def ping(self) -> None:
        """Do nothing: it is always there."""

    async def _complete(self, messages: Sequence[Message], run: Run, options: Mapping[str, Any]) -> ChatResponse[Any]:
        contents, usage = self._respond(messages, run, options)
        pieces = _pieces(contents)
        for _ in pieces:
            await self._pause()
        run.text("".join(pieces))
        return ChatResponse(
            messages=[Message("assistant", contents)],
            model=MODEL,
            usage_details=usage,
            finish_reason=_finish_reason(contents),
        )

    async def _stream(
        self, messages: Sequence[Message], run: Run, options: Mapping[str, Any]
    ) -> AsyncIterator[ChatResponseUpdate]:
        contents, usage = self._respond(messages, run, options)
        for piece in _pieces(contents):
            await self._pause()
            run.text(piece)
        update = ChatResponseUpdate(contents=[*contents, Content.from_usage(usage)], role="assistant", model=MODEL)
        update.finish_reason = _finish_reason(contents)
        yield update

    def _respond(self, messages: Sequence[Message], run: Run, options: Mapping[str, Any]) -> tuple[list[Content], UsageDetails]:
        contents = respond(messages, run, options)
        usage = _usage(messages, contents)
        run.model = MODEL
        run.call_model(0).tell(usage["input_token_count"] or 0, usage["output_token_count"] or 0)
        return contents, usage

    async def _pause(self) -> None:
        if self._delay_seconds:
            await self._sleep(self._delay_seconds)


def respond(messages: Sequence[Message], run: Run, options: Mapping[str, Any]) -> list[Content]:
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
        wanted = list(plan_calls(text, tools, [past.content for past in run.history if past.role == "user"]))
        if wanted:
            return [
                Content.from_function_call(f"call_{uuid.uuid4().hex[:24]}", name, arguments=arguments)
                for name, arguments in wanted
            ]
    return [Content.from_text(small_talk(text, tools))]


def plan_calls(text: str, tools: Mapping[str, ToolSpec], earlier: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the tool calls that a message asks for, after the user's earlier ones, with their arguments as JSON."""
    asked = CALL.fullmatch(text)
    if asked and asked["tool"] in tools:
        yield asked["tool"], asked["arguments"] or "{}"
        return
    if asked and asked["arguments"]:
        return
    earlier = [_heard(past) for past in earlier]
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
    if (asked := CALL.fullmatch(text)) and asked["tool"] not in tools:
        return f"There is no tool {asked['tool']}; there are: {', '.join(tools) or 'none'}."
    if re.search(r"\bjoke\b", text, re.I):
        return JOKE
    skills = [spec.offline.skill for spec in tools.values() if spec.offline]
    able = f"I can {', '.join(skills)}, and " if skills else "I can "
    return (
        f"I am the offline stand-in for a language model: I work by rules and do not understand language. {able}tell a joke. "
        "“call <tool> {json}” calls any tool. For real answers set OPENAI_API_KEY or AZURE_OPENAI_ENDPOINT (see the README)."
    )


def _pieces(contents: Sequence[Content]) -> list[str]:
    words = [word for content in contents for word in re.findall(r"\s*\S+|\s+$", content.text or "")]
    return ["".join(words[start : start + WORDS_PER_PIECE]) for start in range(0, len(words), WORDS_PER_PIECE)]


def _finish_reason(contents: list[Content]) -> Any:
    return "tool_calls" if any(content.type == "function_call" for content in contents) else "stop"


def _usage(messages: Sequence[Message], contents: list[Content]) -> UsageDetails:
    """Estimate tokens as a quarter of the characters."""
    read = sum(_size(content) for message in messages for content in message.contents) // 4 + 1
    written = sum(_size(content) for content in contents) // 4 + 1
    return UsageDetails(input_token_count=read, output_token_count=written, total_token_count=read + written)


def _size(content: Content) -> int:
    return len(str(content.text or content.arguments or content.result or ""))
