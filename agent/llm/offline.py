"""The model of the embedded set-up: no network, no randomness, and no language model either.

It decides by rules which of the registered tools to call for the user's last message, words its answer from their results, and
says what it is. Only the user's own message is looked at for calls: nothing in a tool's result can make it call another.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from decimal import Decimal
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

MODEL = "offline"
WORDS_PER_PIECE = 3
WEATHER = re.compile(r"\b(weather|temperature|forecast|rain\w*|snow\w*|sunny|wind\w*|umbrella|degrees)\b", re.I)
PLACE = re.compile(r"\b(?:in|at|for)\s+(?P<places>[^?!.;\d]+)", re.I)
PLACE_BEFORE = re.compile(r"\b(?P<places>[A-Z][\w'-]+(?: [A-Z][\w'-]+)*)(?:'s)? (?:weather|temperature|forecast)\b")
FOLLOW_UP = re.compile(r"^\s*(?:and|what about|how about)\s+(?:in\s+)?(?P<places>[^?!.\d]+)[?!.]*\s*$", re.I)
NO_PLACE = re.compile(
    r"\b(?:in|what|how|is|are|tell|calculate|convert|please|today|tomorrow|now|right|this|celsius|fahrenheit)\b.*", re.I
)
IMPERIAL = re.compile(r"fahrenheit|°\s*F\b|imperial", re.I)
METRIC = re.compile(r"celsius|°\s*C\b|metric", re.I)
NUMBER = r"\d[\d,]*(?:\.\d+)?"
PERCENT = re.compile(
    rf"({NUMBER})\s*(?:%|percent)(?:\s+\w+)?\s+(?:of|on|from|for)\s+(?:a\s+|the\s+)?(?:\w+\s+of\s+)?[$€£¥]?\s*({NUMBER})", re.I
)
ROOT = re.compile(rf"\bsquare root of\s+({NUMBER})", re.I)
CALL = re.compile(r"\b(?:sqrt|round|abs|min|max|floor|ceil|log|exp|sin|cos|tan)\([^?]*\)(?:[\s\d.()+\-*/%]*[\d)])?")
EXPRESSION = re.compile(r"(?<![\w.])[(\-]*\d[\d.\s()+\-*/×÷%^]*[+\-*/×÷%^][\d.\s()+\-*/×÷%^]*[\d)]")
DATE = re.compile(r"\d+([-/])\d+\1\d+")
SPOKEN = {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/"}
SHOP = re.compile(
    r"\b(orders?|return\w*|refund\w*|ship\w*|deliver\w*|parcel\w*|package|exchang\w*|warranty|repair\w*|pay|paid|payment\w*|invoices?|"
    r"gift cards?|discount\w*|accounts?|password|two-factor|sign in|privacy|personal data|cancel\w*|track\w*|size|newsletter|"
    r"cookies|points|opening hours|contact|customer service|support)\b",
    re.I,
)
JOKE = "Why did the hiker bring a ladder? To reach the next level of the trail."


class OfflineChatClient(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], ChatTelemetryLayer[Any], BaseChatClient[Any]):
    """A chat client of the Agent Framework that works by rules, streaming and not."""

    OTEL_PROVIDER_NAME = MODEL

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **_: Any
    ) -> Awaitable[ChatResponse[Any]] | ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        contents = respond(messages, options)
        usage = _usage(messages, contents)
        if stream:
            return self._build_response_stream(_updates(contents, usage))
        return _complete(contents, usage)


async def ping_offline_model(client: OfflineChatClient) -> None:
    """Let the model answer something."""
    await client.get_response([Message("user", ["Hello"])])


def respond(messages: Sequence[Message], options: Mapping[str, Any]) -> list[Content]:
    """Return what the model says to a conversation: tool calls, or one text."""
    last_user = max(number for number, message in enumerate(messages) if message.role == "user")
    text = messages[last_user].text
    since = [content for message in messages[last_user + 1 :] for content in message.contents]
    results = [content for content in since if content.type == "function_result"]
    tools = [tool.name for tool in options.get("tools") or []]
    if results:
        calls = {content.call_id: content for content in since if content.type == "function_call"}
        return [Content.from_text("\n\n".join(word_result(calls[result.call_id], result) for result in results))]
    if options.get("tool_choice") != "none":
        wanted = list(plan_calls(text, tools, options.get("history") or []))
        if wanted:
            return [
                Content.from_function_call(
                    f"call_{uuid.uuid4().hex[:24]}", name, arguments=json.dumps(arguments, ensure_ascii=False)
                )
                for name, arguments in wanted
            ]
    return [Content.from_text(small_talk(text, tools))]


def plan_calls(text: str, tools: Sequence[str], history: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tool calls that a message asks for, of those tools that there are."""
    if "get_weather" in tools:
        units = {"units": "imperial"} if IMPERIAL.search(text) else {"units": "metric"} if METRIC.search(text) else {}
        for place in find_places(text, history):
            yield "get_weather", {"location": place, **units}
    if "calculate" in tools:
        for expression in find_expressions(text):
            yield "calculate", {"expression": expression}
    if "search_knowledge_base" in tools and SHOP.search(text):
        yield "search_knowledge_base", {"query": text[:300]}


def find_places(text: str, history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the places whose weather a message asks for, also as a follow-up to an earlier question."""
    if WEATHER.search(text):
        found = PLACE.search(text) or PLACE_BEFORE.search(text)
    else:
        asked = [past["content"] for past in history if past["role"] == "user"]
        found = FOLLOW_UP.search(text) if asked and WEATHER.search(asked[-1]) else None
    places = []
    for candidate in re.split(r",|\s+and\s+|\s+or\s+|&", found["places"]) if found else []:
        place = NO_PLACE.sub("", candidate).strip(" '\"")
        if not place or len(place.split()) > 4:
            break
        places.append(re.sub(r"^the\s+", "", place, flags=re.I))
        if place != candidate.strip(" '\""):
            break
    return places


def find_expressions(text: str) -> list[str]:
    """Return the arithmetic that a message asks for, in the calculator's notation."""
    found: list[str] = []

    def take(expression: str) -> str:
        found.append(expression)
        return " ; "

    text = PERCENT.sub(lambda match: take(f"{_plain(match[2])} * {Decimal(_plain(match[1])) / 100}"), text)
    text = ROOT.sub(lambda match: take(f"sqrt({_plain(match[1])})"), text)
    for word, sign in SPOKEN.items():
        text = re.sub(rf"(?<=\d) {word} (?=\d)", f" {sign} ", text, flags=re.I)
    text = CALL.sub(lambda match: take(match[0].strip()), text)
    for match in EXPRESSION.finditer(re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)):
        if not DATE.fullmatch(match[0].strip()):
            take(match[0].strip().replace("^", "**"))
    return found


def _plain(number: str) -> str:
    return number.replace(",", "")


def word_result(call: Content, result: Content) -> str:
    """Put a tool's result, or its error, into words."""
    value = json.loads(str(result.result))
    if isinstance(value, dict) and set(value) == {"error"}:
        return f"That did not work: {value['error']}."
    if call.name == "get_weather":
        place = f"{value['location']}, {value['country']}" if value["country"] else value["location"]
        note = " (sample data)" if value["source"] == "sample" else ""
        weather = f"{value['temperature']:g} {value['unit']} with {value['condition']}, {value['humidity']} % humidity"
        return f"In {place} it is {weather} and wind at {value['wind_speed']:g} {value['wind_unit']}{note}."
    if call.name == "calculate":
        return f"{(call.parse_arguments() or {}).get('expression')} = {value}"
    if call.name == "search_knowledge_base":
        return _word_articles(value)
    return f"{call.name}: {json.dumps(value, ensure_ascii=False)}"


def _word_articles(hits: list[dict[str, Any]]) -> str:
    if not hits:
        return "I found no help article about that."
    first, *others = hits
    more = "".join(f"\n- {hit['title']} [{hit['index']}]" for hit in others)
    return f"**{first['title']}**\n\n{first['snippet']} [{first['index']}]" + (f"\n\nSee also:{more}" if more else "")


def small_talk(text: str, tools: Sequence[str]) -> str:
    """Answer what asks for no tool."""
    if re.search(r"\bjoke\b", text, re.I):
        return JOKE
    can = {"get_weather": "look up the weather", "calculate": "calculate", "search_knowledge_base": "search the help articles"}
    skills = [words for name, words in can.items() if name in tools]
    able = f"I can {', '.join(skills)}, and " if skills else "I can "
    return (
        f"I am the offline stand-in for a language model: I work by rules and do not understand language. {able}tell a joke. "
        "For real answers set OPENAI_API_KEY or AZURE_OPENAI_ENDPOINT (see the README)."
    )


async def _complete(contents: list[Content], usage: UsageDetails) -> ChatResponse[Any]:
    return ChatResponse(
        messages=[Message("assistant", contents)],
        response_id=f"offline-{uuid.uuid4().hex}",
        model=MODEL,
        usage_details=usage,
        finish_reason=_finish_reason(contents),
    )


async def _updates(contents: list[Content], usage: UsageDetails) -> AsyncIterator[ChatResponseUpdate]:
    id = f"offline-{uuid.uuid4().hex}"
    for content in contents:
        for piece in _pieces(content):
            yield ChatResponseUpdate(contents=[piece], role="assistant", model=MODEL, response_id=id, message_id=id)
    end = ChatResponseUpdate(contents=[Content.from_usage(usage)], role="assistant", model=MODEL, response_id=id, message_id=id)
    end.finish_reason = _finish_reason(contents)
    yield end


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
