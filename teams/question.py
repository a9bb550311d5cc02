"""What a message asks: its text, what it quotes, what a card has sent, and which files came with it."""

from __future__ import annotations

import re
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any, NamedTuple

from microsoft_agents.activity import Activity, Entity

from teams.activity import DECISION, is_edited, mentions, recipient_id
from teams.messages import strings_for

MAX_FILES = 5
MAX_FILE_NAME = 100
# Teams sends the beginning of what is quoted.
MAX_QUOTE = 1000
MAX_QUOTED_NAME = 64
QUOTED_ENTITY = "quotedReply"
# Where a quote stands in the text of newer clients.
PLACEHOLDER = re.compile(r"<quoted\b[^<>]*/>")
REPLY_SCHEMA = "schema.skype.com/Reply"


class Quote(NamedTuple):
    """What somebody has quoted with a message: the beginning of another one, and who wrote that (empty if nobody says)."""

    name: str
    text: str

    @property
    def markdown(self) -> str:
        """The quote as Markdown."""
        said = f"{self.name}: {self.text}" if self.name else self.text
        return "\n".join(f"> {line}" for line in said.splitlines())

    @property
    def entity(self) -> Entity:
        """The quote as Teams' newer clients send it."""
        fields: dict[str, Any] = {"type": QUOTED_ENTITY, "quotedReply": {"senderName": self.name, "preview": self.text}}
        return Entity.model_validate(fields)


def message_text(activity: Activity) -> str:
    """Return what was said, without the mention of the bot, or what a card has sent."""
    text = activity.text or _submitted(activity.value)
    said = {getattr(entity, "text", None) for entity in activity.entities or [] if mentions(entity, recipient_id(activity))}
    for mention in sorted((each for each in said if isinstance(each, str) and each), key=len, reverse=True):
        text = text.replace(mention, " ")
    return PLACEHOLDER.sub(" ", text).strip()


def whole_question(activity: Activity, author: str | None) -> str:
    """Return what was said as it goes into the thread: behind what it quotes, with its author's name where several write."""
    text, quote = message_text(activity), quote_of(activity)
    if is_edited(activity):
        text = strings_for(activity.locale)["edited"].format(text=text)
    if author:
        text = f"{author}: {text}"
    return f"{quote.markdown}\n\n{text}" if quote else text


def quote_of(activity: Activity) -> Quote | None:
    """Return what a message quotes; newer clients send that as an entity, others in the message's HTML only."""
    for entity in activity.entities or []:
        quoted = getattr(entity, "quoted_reply", None) if entity.type == QUOTED_ENTITY else None
        if isinstance(quoted, dict):
            return _quote(quoted.get("senderName"), quoted.get("preview"))
    for attachment in activity.attachments or []:
        html = attachment.content if attachment.content_type.startswith("text/html") else None
        if isinstance(html, str) and REPLY_SCHEMA in html:
            parser = _QuoteParser()
            # What Python's parser says of some of what is no HTML.
            with suppress(AssertionError):
                parser.feed(html)
            return _quote("".join(parser.name), "".join(parser.text))
    return None


def file_names(activity: Activity) -> list[str]:
    """Return what the files and images of a message are called, or else what kind they are."""
    files = [each for each in activity.attachments or [] if not each.content_type.startswith("text/html")]
    return [(" ".join((each.name or each.content_type).split()))[:MAX_FILE_NAME] for each in files[:MAX_FILES]]


def _quote(name: object, text: object) -> Quote | None:
    said = str(text or "").strip()[:MAX_QUOTE]
    return Quote(" ".join(str(name or "").split())[:MAX_QUOTED_NAME], said) if said else None


def _submitted(value: Any) -> str:
    """Return a card's input as text: a string, or a line for each plain field."""
    if isinstance(value, str):
        return value
    fields = value.items() if isinstance(value, dict) and DECISION not in value else ()
    return "\n".join(f"{name}: {each}" for name, each in fields if isinstance(each, str | int | float))


class _QuoteParser(HTMLParser):
    """Reads the first quoted message in a message's HTML; what stands outside the quote is the message's own text."""

    def __init__(self) -> None:
        super().__init__()
        self.name: list[str] = []
        self.text: list[str] = []
        self._depth = 0
        self._is_over = False
        self._in_name = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "blockquote" and (self._depth or REPLY_SCHEMA in (dict(attrs).get("itemtype") or "")):
            self._depth += not self._is_over
        elif tag == "strong" and dict(attrs).get("itemprop") == "mri":
            self._in_name = True
        elif tag in ("br", "p", "div", "li") and self._depth:
            self.text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "strong":
            self._in_name = False
        elif tag == "blockquote" and self._depth:
            self._depth -= 1
            self._is_over = not self._depth

    def handle_data(self, data: str) -> None:
        if self._depth:
            (self.name if self._in_name else self.text).append(data)
