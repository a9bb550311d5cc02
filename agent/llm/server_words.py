"""What a model's server says of a failure, as it may stand in a log and on an operator's screen.

A server may quote the key that it refuses, or the conversation that it cannot read: neither is for the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from agent.llm.server_error import ServerError

MAX_LENGTH = 300
# Of what is searched for credentials: a search of words without an end takes the square of their length.
SEARCHED_LENGTH = 2000
# So many characters in a row, in a message and in what the server says, are a quotation.
QUOTED_LENGTH = 12
# A shorter message is found where it stands as it is, unless it is a word like "hi".
MIN_LENGTH = 4
MARK = "…"
MIN_SECRET = 3
SECRETS = re.compile(r"\bsk-\S+|\beyJ[\w-]+\.\S+|(?<=://)[^\s/@]+@|\bBearer\s+\S+|\S*\*{3,}\S*", re.IGNORECASE)


def words_of(error: ServerError) -> str:
    """Return what the server said in one line, without credentials and without what users or tools have written; or ``""``."""
    text = " ".join(error.message.split())
    if len(error.secret) > MIN_SECRET:
        text = text.replace(error.secret, MARK)
    text = SECRETS.sub(MARK, text[:SEARCHED_LENGTH])[:MAX_LENGTH]
    for content in _written(error):
        text = _without_quotations(text, content)
    return text


def _written(error: ServerError) -> Iterator[str]:
    """Yield the texts of the request's conversation, without the assistant's instructions."""
    try:
        request: Any = from_json(error.sent)
    except ValueError:
        return
    said = (request.get("messages") or request.get("input")) if isinstance(request, dict) else None
    for message in said or ():
        if message.get("role") not in ("system", "developer"):
            yield from _texts(message)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield " ".join(value.split())
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in ("role", "type", "id", "tool_call_id", "name"):
                yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _without_quotations(text: str, content: str) -> str:
    if len(content) < QUOTED_LENGTH:
        return re.sub(rf"(?<!\w){re.escape(content)}(?!\w)", MARK, text) if len(content) >= MIN_LENGTH else text
    start = 0
    while start + QUOTED_LENGTH <= len(text):
        if text[start : start + QUOTED_LENGTH] not in content:
            start += 1
            continue
        end = start + QUOTED_LENGTH
        while end < len(text) and text[start : end + 1] in content:
            end += 1
        text = text[:start] + MARK + text[end:]
        start += len(MARK)
    return text
