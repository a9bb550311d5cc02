"""How much of a thread's past the model is shown: its latest exchanges, each cut to what is left of the budget."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from agent.request import is_asked_for
from agent.text import CUT_MARK
from agent.usage import BYTES_PER_TOKEN
from calls import ToolCall
from errors import ContentFiltered, ModelMisconfigured
from models import Message

TOKENS_PER_MESSAGE = 4
# Stands for a question that lies too far back.
NOT_SHOWN = "(This message is not shown any more.)"
# What a JSON value needs around the mark.
MARK_ROOM = len(CUT_MARK.encode()) + 16
# So many questions in a row that were refused say that it is what was before them that is refused: by the content filter, or by
# a server that cannot read a call, or its own answer, again, and has no code for that.
MAX_REFUSED = 3
UNREADABLE = (ContentFiltered.type, ModelMisconfigured.type)
# Less than this of each text says nothing.
MIN_BYTES = 100
# Half a number would be another number.
LAST_NUMBER = re.compile(r"(?<=[\[,:])[-+.eE0-9]+$")
# A question and its answer; or a question alone that missed its answer.
Exchange = list[Message]


def fit_history(history: Sequence[Message], max_tokens: int) -> list[Message]:
    """Return what the model is shown of the messages before a new one: the latest exchanges that fit the budget.

    A message counts with its tool calls and their results, so a call is never shown without its result. The first exchange that
    does not fit is cut to what is left, with a mark where something is missing. Tokens are estimated at four bytes of UTF-8
    each, which errs on the safe side for most languages.
    """
    shown: list[Exchange] = []
    for exchange in reversed(_exchanges(history)):
        tokens = sum(map(estimate_tokens, exchange))
        if tokens > max_tokens:
            shown.append(_cut(exchange, max_tokens))
            break
        shown.append(exchange)
        max_tokens -= tokens
    return [message for exchange in reversed(shown) for message in exchange]


def estimate_tokens(message: Message) -> int:
    """Return about how many tokens the model needs to read a message and its tool calls."""
    return _size(message) // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE


def _exchanges(history: Sequence[Message]) -> list[Exchange]:
    """Return the exchanges in the order of their answers.

    What was erased is left out. A question that was refused is, too, or it would have every later one refused; of several in a
    row that missed their answers, only the last one stays, as any of them may be why the next one failed. It may also be an
    answer that is refused from then on: after several refusals in a row the conversation begins anew.
    """
    found: dict[int, Exchange] = {}
    open: dict[str, int] = {}
    paused: list[Message] = []
    latest = 0
    for message in history:
        if message.is_erased:
            continue
        if message.role == "user":
            _give(paused, found, found.get(latest))
            paused = []
            found[message.seq] = [message]
            open[message.turn_id] = latest = message.seq
        elif message.status == "paused" and message.turn_id not in open:
            # It waited for somebody: what goes on with it is another turn, and answers the same question.
            paused.append(message)
        elif message.turn_id in open and (message.content or message.tool_calls):
            # A retry's answer may stand behind later exchanges.
            exchange = found[message.seq] = found.pop(open.pop(message.turn_id))
            _give(paused, found, exchange)
            paused = []
            exchange.append(message)
    _give(paused, found, found.get(latest))
    if not found:
        found = _without_question(history)
    exchanges = _without_unreadable(list(found.values()))
    is_answered = [_is_answered(exchange) for exchange in exchanges]
    followed = [*is_answered, True][1:]
    return [
        exchange
        for exchange, answered, next_answered in zip(exchanges, is_answered, followed, strict=True)
        if answered or (next_answered and not _is_refused(exchange[0]))
    ]


def _without_question(history: Sequence[Message]) -> dict[int, Exchange]:
    """Return what is left of an exchange of so many pauses that its question is not among the latest messages."""
    replies = [message for message in history if not message.is_erased and message.role == "assistant"]
    if not replies:
        return {}
    question = replies[0].model_copy(update={"role": "user", "content": NOT_SHOWN, "tool_calls": []})
    return {question.seq: [question, *replies]}


def _give(paused: Sequence[Message], found: Mapping[int, Exchange], likely: Exchange | None) -> None:
    """Give paused replies to their questions, which their calls' keys tell; those that have none to the likely one.

    What was approved may have been for another question than the one that is answered next: its own may have failed, or lie too
    far back.
    """
    for reply in paused:
        exchanges = [likely, *found.values()] if likely else list(found.values())
        theirs = (each for each in exchanges if any(is_asked_for(each[0], call) for call in reply.tool_calls))
        has_keys = any(call.key for call in reply.tool_calls)
        if exchange := next(theirs, None if has_keys else likely):
            exchange.append(reply)


def _without_unreadable(exchanges: list[Exchange]) -> list[Exchange]:
    """Leave out what was there before the model's service refused several questions in a row."""
    start = refused = 0
    for position, (question, *_) in enumerate(exchanges):
        refused = refused + 1 if question.problem and question.problem.type in UNREADABLE else 0
        if refused >= MAX_REFUSED:
            start = position
    return exchanges[start:]


def _is_answered(exchange: Exchange) -> bool:
    """Tell whether an exchange ends with an answer, or something was done in it, which the model has to know.

    A question that was refused, with all that was done for it, would have every later one refused.
    """
    question, *replies = exchange
    if any(reply.status != "paused" for reply in replies):
        return True
    return bool(replies or question.tool_calls) and not _is_refused(question)


def _is_refused(question: Message) -> bool:
    """Tell whether a question would fail again: by the content filter, by its length, as no valid prompt."""
    return question.problem is not None and not question.problem.retryable


def _size(message: Message) -> int:
    size = len(message.content.encode())
    return size + len(to_json(message.tool_calls)) if message.tool_calls else size


def _cut(exchange: Exchange, max_tokens: int) -> Exchange:
    """Cut the longest texts of an exchange until it fits, to the same length; without its tool calls if that is too short."""
    for messages in (exchange, [message.model_copy(update={"tool_calls": []}) for message in exchange]):
        sizes = [len(piece) for message in messages for piece in _pieces(message)]
        budget = (max_tokens - TOKENS_PER_MESSAGE * len(messages)) * BYTES_PER_TOKEN
        limit = _common_limit(sizes, budget - sum(map(_size, messages)) + sum(sizes))
        if limit >= MIN_BYTES:
            return [_cut_message(message, limit) for message in messages]
    return []


def _pieces(message: Message) -> Iterator[bytes]:
    yield message.content.encode()
    for call in message.tool_calls:
        yield to_json(call.arguments)
        yield to_json(call.result if call.error is None else call.error)


def _common_limit(sizes: Sequence[int], budget: int) -> int:
    """Return the length to which the longer ones must be cut for all of them to fit."""
    for position, size in enumerate(sorted(sizes)):
        share = budget // (len(sizes) - position)
        if size > share:
            return share
        budget -= size
    return max(MIN_BYTES, *sizes)


def _cut_message(message: Message, limit: int) -> Message:
    calls = [_cut_call(call, limit) for call in message.tool_calls]
    return message.model_copy(update={"content": _cut_text(message.content, limit), "tool_calls": calls})


def _cut_call(call: ToolCall, limit: int) -> ToolCall:
    outcome = {name: _cut_json(value, limit) for name, value in (("result", call.result), ("error", call.error))}
    return call.model_copy(update={"arguments": _cut_json(call.arguments, limit), **outcome})


def _cut_text(text: str, limit: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[: limit - MARK_ROOM].decode(errors="ignore") + CUT_MARK


def _cut_json(value: Any, limit: int) -> Any:
    """Return the beginning of a JSON value, itself valid JSON of the same kind."""
    encoded = to_json(value)
    if len(encoded) <= limit:
        return value
    head = LAST_NUMBER.sub("", encoded[: limit - MARK_ROOM].decode(errors="ignore"))
    try:
        kept = from_json(head, allow_partial="trailing-strings")
    except ValueError:
        # It is written down deeper than it is read.
        kept = type(value)()
    if isinstance(kept, dict):
        return {**kept, "…": CUT_MARK}
    if isinstance(kept, list):
        return [*kept, CUT_MARK]
    return kept + CUT_MARK if isinstance(kept, str) else CUT_MARK
