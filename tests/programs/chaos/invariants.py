"""What must hold of a thread, whatever went wrong: each function says what does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from stores.preview import preview
from tests.programs.chaos.journal import CANCELLED_PAUSE, Conversation, Kind, as_told

Found = Iterator[tuple[Kind, str]]
ANSWERED = ("completed", "cancelled", "paused")
ENDED = (*ANSWERED, "failed", "interrupted")


def check_thread(conversation: Conversation, thread: dict[str, Any], messages: Sequence[dict[str, Any]]) -> Found:
    """Hold a thread and its whole history, as the API shows them, against what the clients know."""
    where = f"thread {conversation.id}"
    seqs = [message["seq"] for message in messages]
    if seqs != list(range(1, len(messages) + 1)):
        yield "doubled" if len(seqs) > len(set(seqs)) else "lost", f"{where} has the numbers {seqs}"
    if thread["message_count"] != len(messages):
        yield "wrong", f"{where} counts {thread['message_count']} messages of {len(messages)}"
    if messages and thread["last_message_preview"] != preview(messages[-1]["content"]):
        yield "wrong", f"{where} shows {thread['last_message_preview']!r} and ends with {messages[-1]['content']!r}"
    for message in messages:
        yield from _check_message(where, message)
    yield from _check_turns(where, messages)
    yield from _check_asks(conversation, messages)


def _check_message(where: str, message: dict[str, Any]) -> Found:
    name = f"{where}, message {message['seq']}"
    if message["status"] not in ENDED:
        yield "stuck", f"{name} is {message['status']}"
    if message["role"] == "assistant" and message["status"] not in ANSWERED:
        yield "wrong", f"{name} is an answer that is {message['status']}"
    for call in message["tool_calls"]:
        if ("result" in call) == ("error" in call):
            yield "wrong", f"{name} has a tool call with neither result nor error, or both: {call}"


def _check_turns(where: str, messages: Sequence[dict[str, Any]]) -> Found:
    """Each turn has one message of the user, and one answer if it ended with one."""
    asked = Counter(message["turn_id"] for message in messages if message["role"] == "user")
    answered = Counter(message["turn_id"] for message in messages if message["role"] == "assistant")
    # Another turn answers the message: the question is that one's.
    paused = {message["turn_id"] for message in messages if message["status"] == "paused"}
    for turn_id in asked.keys() | answered.keys():
        if asked[turn_id] > 1 or answered[turn_id] > 1:
            yield "doubled", f"{where}: turn {turn_id} has {asked[turn_id]} messages and {answered[turn_id]} answers"
        if not asked[turn_id] and turn_id not in paused:
            yield "lost", f"{where}: turn {turn_id} has an answer without a message"
    answers = {message["turn_id"]: message["status"] for message in messages if message["role"] == "assistant"}
    for message in messages:
        status, answer = message["status"], answers.get(message["turn_id"])
        if message["role"] == "user" and answer != (status if status in ANSWERED else None):
            yield "wrong", f"{where}: message {message['seq']} is {status}, its answer {answer}"


def _check_asks(conversation: Conversation, messages: Sequence[dict[str, Any]]) -> Found:
    """Every message that was acknowledged is there once, with the answer that its client was given."""
    by_id = {message["id"]: message for message in messages}
    places = Counter(message["content"] for message in messages if message["role"] == "user")
    for ask in conversation.asks:
        where = f"thread {conversation.id}, {ask.content!r}"
        if places[ask.content] > 1:
            yield "doubled", f"{where} is there {places[ask.content]} times"
        if not places[ask.content] and (ask.answers or ask.accepted or ask.refused):
            yield "lost", f"{where} was acknowledged and is not there"
        for id, answer in ask.answers.items():
            if id not in by_id:
                yield "lost", f"{where}: answer {id} is not there"
            elif as_told(by_id[id]) != as_told(answer):
                yield "wrong", f"{where}: answer {id} was {answer}, is {by_id[id]}"
    if unknown := places.keys() - {ask.content for ask in conversation.asks}:
        yield "mixed up", f"thread {conversation.id} has messages that nobody sent there: {unknown}"


def check_row(thread: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Found:
    """A thread is listed once, as it is."""
    if len(rows) != 1:
        yield "lost" if not rows else "doubled", f"thread {thread['id']} is listed {len(rows)} times"
    elif rows[0] != thread:
        yield "wrong", f"thread {thread['id']} is listed as {rows[0]}, and is {thread}"


def _was_paused(status: str, told: set[str]) -> bool:
    """Tell whether a turn paused before it was cancelled."""
    return status == "cancelled" and told <= CANCELLED_PAUSE


def check_turn(turn: dict[str, Any], told: set[str]) -> Found:
    """A turn has ended, and as its readers were told."""
    status = turn["status"]
    if status not in ENDED:
        yield "stuck", f"turn {turn['id']} is {status}"
    elif told and told != {"failed" if status == "interrupted" else status} and not _was_paused(status, told):
        yield "wrong", f"turn {turn['id']} is {status}, its readers were told {told}"
    if (status in ANSWERED) != ("message" in turn):
        yield "wrong", f"turn {turn['id']} is {status}, with the message {turn.get('message')}"
