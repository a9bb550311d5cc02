"""What a thread's document says about its turns: the one that holds it, and the paused one that waits for somebody."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import ConfigDict, Field

from calls import ToolCall
from errors import TurnInProgress
from models import Metadata, TurnStatus, utcnow
from records import Record, is_empty


class PendingMessage(Record):
    """What a new message brings along; its place and state follow from the lease.

    What a newer release has added to it goes into the message, whoever ends the turn.
    """

    model_config = ConfigDict(extra="allow")

    content: str
    metadata: Metadata
    timestamp: datetime


class OpenTurn(Record):
    """A paused turn that waits for somebody: the places of its reply, and of the message that it answers."""

    turn_id: str
    seq: int
    question_seq: int


class Lease(Record):
    """A turn's hold on its thread until ``until`` (epoch seconds).

    Either ``message`` is a new message, or ``seq`` is the place of an existing one that is answered again. ``calls`` are those
    of the message that act without asking, in this attempt and before: the first ``earlier_calls`` of them. A turn that goes
    on with a paused one has ``approved`` calls of that to run, by id.
    """

    turn_id: str
    started_at: datetime
    until: float
    message: PendingMessage | None
    seq: int | None
    key_id: str | None
    cancel_requested: bool = False
    calls: list[ToolCall] = Field([], exclude_if=is_empty)
    earlier_calls: int = Field(0, exclude_if=is_empty)
    continues: str | None = Field(None, exclude_if=is_empty)
    approved: list[str] = Field([], exclude_if=is_empty)
    cancelled_turn_id: str | None = Field(None, exclude_if=is_empty)

    def seconds_left(self) -> float:
        """Return how long it still lives; zero or less once it has expired."""
        return self.until - utcnow().timestamp()

    def in_progress(self) -> TurnInProgress:
        """Return the refusal of who comes meanwhile."""
        return TurnInProgress(retry_after=min(self.seconds_left(), 2), turn_id=self.turn_id)

    @property
    def ended_at(self) -> datetime:
        """When it expires, or has expired."""
        return datetime.fromtimestamp(self.until, UTC)

    @property
    def message_status(self) -> TurnStatus:
        """The state of the message that is being answered."""
        return "running" if self.seconds_left() > 0 else "interrupted"

    @property
    def acted(self) -> list[ToolCall]:
        """The calls that the message has from now on: none while its turn may still say what came of them."""
        return self.calls if self.message_status == "interrupted" else []
