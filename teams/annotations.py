"""What Teams shows with an answer: that it was generated, where it comes from, how sensitive it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from microsoft_agents.activity import (
    Activity,
    AIEntity,
    Attachment,
    ClientCitation,
    ClientCitationAppearance,
    Entity,
    SensitivityUsageInfo,
)

from models import Citation

# What Teams takes of a citation.
MAX_NAME = 80
MAX_ABSTRACT = 160
MAX_CITATIONS = 20


@dataclass(frozen=True, slots=True)
class MessageAnnotations:
    """What the last message of an answer carries beside its text and its marks; ``instead`` is said where cards are refused."""

    channel_data: dict[str, Any] | None = None
    cards: list[Attachment] = field(default_factory=list)
    instead: str = ""


def whole_message(text: str, entities: list[Entity], annotations: MessageAnnotations) -> Activity:
    """Make a message of what there is of it: a field that is set to nothing goes out as null, and is refused."""
    message = Activity(type="message")
    if text:
        message.text = text
    if entities:
        message.entities = entities
    if annotations.channel_data:
        message.channel_data = annotations.channel_data
    if annotations.cards:
        message.attachments = annotations.cards
    return message


def marks_of(citations: Sequence[Citation], sensitivity: str | None) -> list[Entity]:
    """Make the marks of a message: that it was generated, where it comes from, how sensitive it is.

    Fields are set one by one where they are there: a field that is set to nothing goes out as null, and is refused.
    """
    entity = AIEntity(type="https://schema.org/Message", additional_type=["AIGeneratedContent"])
    if citations:
        entity.citation = [_claim(each) for each in citations[:MAX_CITATIONS]]
    if sensitivity:
        entity.usage_info = SensitivityUsageInfo(type="https://schema.org/Message", name=sensitivity)
    return [entity]


def citation_marks(citations: Sequence[Citation]) -> list[Entity]:
    """Make the marks of a message that still grows: where what it says so far comes from, if it says so."""
    claims = [_claim(each) for each in citations[:MAX_CITATIONS]]
    return [AIEntity(type="https://schema.org/Message", citation=claims)] if claims else []


def link_definitions(citations: Sequence[Citation]) -> str:
    """Make Markdown of which a mark such as ``[1]`` becomes a link, for channels that know no marks.

    Written as Web Chat shows them, below the text: https://spec.commonmark.org/0.31.2/#link-reference-definitions
    """
    lines = [
        f'[{each.index}]: <{each.url}> "{shortened(each.title, MAX_NAME).replace(chr(34), chr(39))}"'
        if each.url
        else f"[{each.index}] {shortened(each.title, MAX_NAME)}"
        for each in citations
    ]
    return "\n".join(lines)


def _claim(citation: Citation) -> ClientCitation:
    appearance = ClientCitationAppearance(
        name=shortened(citation.title, MAX_NAME), abstract=shortened(citation.snippet, MAX_ABSTRACT)
    )
    if citation.url:
        appearance.url = citation.url
    return ClientCitation(position=citation.index, appearance=appearance)


def shortened(text: str, length: int) -> str:
    """Return a text as one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
