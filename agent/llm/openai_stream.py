"""The model's stream: its text goes straight to who waits for it, everything else through the framework.

Each chunk that becomes the SDK's objects, and then the framework's, costs about half a millisecond of one core. So chunks that
hold nothing but text become neither: the text is told at once, and reaches the framework in one piece with the next chunk that
holds anything else, such as the last one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

from agent.text import storable
from agent.usage import CallUsage

# What else a chunk of text may hold without meaning anything to us.
IDLE_CHUNK_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "system_fingerprint", "service_tier", "obfuscation", "usage"}
)
IDLE_CHOICE_FIELDS = frozenset({"index", "delta", "finish_reason", "logprobs", "content_filter_results"})
IDLE_DELTA_FIELDS = frozenset({"role", "content", "refusal", "tool_calls", "function_call"})
OnText = Callable[[str], None]


class PlainText(str):
    """The text of a chunk that holds nothing else."""

    __slots__ = ()


def parse_chunk(data: Any) -> PlainText | ChatCompletionChunk:
    """Return a chunk of the stream, as its text alone if that is all there is to it."""
    text = _plain_text(data)
    return ChatCompletionChunk.construct(**storable(data)) if text is None else text


class TextStream(AsyncStream[ChatCompletionChunk]):
    """The SDK's stream: tells text to ``on_text`` as it comes, and its size to ``usage``. Set both before the first read."""

    on_text: OnText | None = None
    usage: CallUsage

    async def __stream__(self) -> AsyncIterator[ChatCompletionChunk]:
        """Yield the chunks that hold more than text; each brings the text that has come since the last one."""
        emitted: list[str] = []
        last: Any = None
        async for item in super().__stream__():
            chunk: Any = item
            if isinstance(chunk, PlainText):
                self.usage.receive(len(chunk.encode()))
                self._emit(chunk)
                emitted.append(chunk)
                continue
            tell_usage(self.usage, chunk.usage)
            if chunk.choices and chunk.choices[0].delta is not None:
                delta = chunk.choices[0].delta
                self.usage.receive(_size(delta))
                if delta.content:
                    self._emit(delta.content)
                if emitted:
                    delta.content = "".join(emitted) + (delta.content or "")
                    emitted.clear()
            last = chunk
            yield chunk
        if emitted:
            yield _text_chunk("".join(emitted), last)

    def _emit(self, text: str) -> None:
        if self.on_text:
            self.on_text(text)


def tell_usage(usage: CallUsage, told: Any) -> None:
    """Take the count of an answer, or of a stream's chunk, if there is a sound one."""
    read, written = getattr(told, "prompt_tokens", None), getattr(told, "completion_tokens", None)
    if isinstance(read, int) and isinstance(written, int) and read > 0:
        usage.tell(read, max(0, written))


def _size(delta: Any) -> int:
    """Return about how many bytes of a chunk the model has written: text, arguments of calls, reasoning."""
    calls = [call.function for call in delta.tool_calls or () if call.function]
    texts = [delta.content, *(call.arguments for call in calls), *(delta.model_extra or {}).values()]
    return sum(len(text.encode()) for text in texts if isinstance(text, str))


def _plain_text(data: Any) -> PlainText | None:
    """Return the text if a chunk has one choice with some, and nothing else that matters."""
    if not isinstance(data, dict) or data.get("usage") or not data.keys() <= IDLE_CHUNK_FIELDS:
        return None
    choices = data.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    (choice,) = choices
    if choice.get("finish_reason") or choice.get("logprobs") or not choice.keys() <= IDLE_CHOICE_FIELDS:
        return None
    delta = choice.get("delta")
    if not isinstance(delta, dict) or not delta.keys() <= IDLE_DELTA_FIELDS:
        return None
    text = delta.get("content")
    if not text or not isinstance(text, str) or delta.get("tool_calls") or delta.get("refusal") or delta.get("function_call"):
        return None
    return PlainText(storable(text))


def _text_chunk(text: str, last: ChatCompletionChunk | None) -> ChatCompletionChunk:
    """Return a chunk with text that the model's server has left without an end."""
    return ChatCompletionChunk.construct(
        id=last.id if last else "",
        created=last.created if last else 0,
        model=last.model if last else "",
        object="chat.completion.chunk",
        choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    )
