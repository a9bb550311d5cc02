"""The lines of exports: one class for each kind, told apart by ``type``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from models import Feedback, Message, Problem, Thread, Turn, UserState
from records import Record


class Line(Record):
    """One line of an export."""

    type: str

    def to_json(self) -> bytes:
        """Return the line as it is written, with its end."""
        return self.__pydantic_serializer__.to_json(self) + b"\n"


class OwnerLine(Line):
    """Whose data it is. The first line."""

    type: Literal["owner"] = "owner"
    tenant: str
    user: str
    exported_at: datetime


class UserStateLine(Line):
    """What channels remember about the owner."""

    type: Literal["user_state"] = "user_state"
    user_state: UserState


class ThreadLine(Line):
    """A thread; its messages and turns follow."""

    type: Literal["thread"] = "thread"
    thread: Thread


class MessageLine(Line):
    """A message of the thread before."""

    type: Literal["message"] = "message"
    message: Message


class TurnLine(Line):
    """A turn of the thread before that has ended."""

    type: Literal["turn"] = "turn"
    turn: Turn


class ErrorLine(Line):
    """The last line of an export that could not be finished."""

    type: Literal["error"] = "error"
    problem: Problem


class EndLine(Line):
    """The last line of an export that is complete: how much is in it."""

    type: Literal["end"] = "end"
    threads: int
    messages: int


ExportLine: TypeAlias = OwnerLine | UserStateLine | ThreadLine | MessageLine | TurnLine | ErrorLine | EndLine
EXPORT_LINE_ADAPTER: TypeAdapter[ExportLine] = TypeAdapter(Annotated[ExportLine, Field(discriminator="type")])


class AuthorLine(Line):
    """Whose messages they are, of an author's export. The first line."""

    type: Literal["author"] = "author"
    author_id: str
    exported_at: datetime


class AuthoredLine(Line):
    """A message of an author, or the reply to one, and whose thread it is in."""

    type: Literal["message"] = "message"
    tenant: str
    user: str
    message: Message


class AuthorFeedbackLine(Line):
    """What an author thinks of an answer, and whose thread that is in. After the messages of the thread."""

    type: Literal["feedback"] = "feedback"
    tenant: str
    user: str
    message_id: str
    feedback: Feedback
