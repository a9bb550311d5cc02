"""What Teams shows with an answer: that it was generated, where it comes from, how sensitive it is, thumbs to rate it."""

from __future__ import annotations

from collections.abc import Sequence

from microsoft_agents.activity import (
    AIEntity,
    Attachment,
    ClientCitation,
    ClientCitationAppearance,
    Entity,
    SensitivityUsageInfo,
)

from models import Citation
from teams.streamer import MessageAnnotations

# What Teams takes of a citation.
MAX_NAME = 80
MAX_ABSTRACT = 160
MAX_CITATIONS = 20


def annotations_of(
    citations: Sequence[Citation], cards: list[Attachment], *, sensitivity: str | None, feedback: bool
) -> MessageAnnotations:
    """Make the ornaments of an answer.

    Fields are set one by one where they are there: a field that is set to nothing goes out as null, and is refused.
    """
    entity = AIEntity(type="https://schema.org/Message", additional_type=["AIGeneratedContent"])
    if citations:
        entity.citation = [_claim(each) for each in citations[:MAX_CITATIONS]]
    if sensitivity:
        entity.usage_info = SensitivityUsageInfo(type="https://schema.org/Message", name=sensitivity)
    entities: list[Entity] = [entity]
    return MessageAnnotations(entities, {"feedbackLoop": {"type": "default"}} if feedback else None, cards)


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
