"""What the clients of a run know: the threads they made, what they asked, and what they were told.

What contradicts itself while the run goes on is a finding at once; ``invariants.py`` holds the rest against the store.
"""

from __future__ import annotations

import itertools
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.programs.chaos.model import MARK

Kind = Literal["lost", "doubled", "stuck", "mixed up", "wrong", "error"]
SHOWN = 40
# What readers are told of a paused turn, and of the same one once it was cancelled.
CANCELLED_PAUSE = {"paused", "cancelled"}
FINAL = {"message.completed": "completed", "turn.paused": "paused", "turn.cancelled": "cancelled", "turn.failed": "failed"}


def as_told(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what stays of an answer: one that pauses changes in its place once somebody has decided, or has gone on."""
    if not any("awaits" in call for call in answer["tool_calls"]):
        return answer
    return {name: value for name, value in answer.items() if name not in ("status", "tool_calls")}


@dataclass(eq=False)
class Ask:
    """A message and what became of it: ``answers`` are those that a client was given, ``turns`` those it heard of."""

    content: str
    key: str | None
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    accepted: bool = False
    refused: str | None = None
    turns: set[str] = field(default_factory=set)
    settled: bool = False


@dataclass(eq=False)
class Conversation:
    """A thread of one of the owners, as its clients know it."""

    id: str
    owner: int
    asks: list[Ask] = field(default_factory=list)
    deleted: bool = False

    @property
    def mark(self) -> str:
        """What stands in each of its messages, and in no other thread's."""
        return self.id.replace("thread_", "mark-")

    def ask(self, number: int, *, with_key: bool = True) -> Ask:
        """Note a new message."""
        ask = Ask(f"{self.mark} message {number}", f"key-{number}-{uuid.uuid4().hex[:8]}" if with_key else None)
        self.asks.append(ask)
        return ask


@dataclass
class Journal:
    """Everything that is known, and what was found wrong."""

    conversations: list[Conversation] = field(default_factory=list)
    findings: list[tuple[Kind, str]] = field(default_factory=list)
    finals: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    answers: Counter[str] = field(default_factory=Counter)
    mischief: Counter[str] = field(default_factory=Counter)
    longest_wait: float = 0
    # What somebody has allowed to be paid for.
    approved: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def next_number(self) -> int:
        """Return a number that no message has yet."""
        return next(self._numbers)

    def find(self, kind: Kind, what: str) -> None:
        """Note something wrong."""
        self.findings.append((kind, what))
        if len(self.findings) <= SHOWN:
            print(f"  FOUND {kind}: {what}", flush=True)

    def saw_answer(self, conversation: Conversation, ask: Ask, answer: dict[str, Any]) -> None:
        """Note an answer that a client was given."""
        self.saw_text(conversation, str(answer))
        known = ask.answers.setdefault(answer["id"], answer)
        if as_told(known) != as_told(answer):
            self.find("wrong", f"answer {answer['id']} was {known}, now {answer}")
        if len([each for each in ask.answers.values() if each["status"] != "paused"]) > 1:
            self.find("doubled", f"{ask.content!r} has the answers {sorted(ask.answers)}")

    def saw_text(self, conversation: Conversation, text: str) -> None:
        """Look for what belongs to another thread."""
        if others := set(MARK.findall(text)) - {conversation.mark}:
            self.find("mixed up", f"{others} in thread {conversation.id}")

    def saw_final(self, conversation: Conversation, turn_id: str, event_type: str) -> None:
        """Note how a turn's events ended for a reader."""
        self.finals[turn_id].add(FINAL[event_type])
        if len(self.finals[turn_id]) > 1 and self.finals[turn_id] != CANCELLED_PAUSE:
            self.find("wrong", f"turn {turn_id} of {conversation.id} ended in several ways: {self.finals[turn_id]}")
