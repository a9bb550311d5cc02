"""The reply of a turn, as it grows."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

from agent.citations import cited
from calls import CANCELLED, Decider, ToolCall, made_calls, refuse_open
from events import (
    ApprovalRequested,
    MessageDelta,
    ReasoningDelta,
    ToolCompleted,
    ToolProgress,
    ToolRequested,
    ToolStarted,
)
from models import Citation, Message, Metadata, TurnStatus, message_id, utcnow
from stores.types import StartedTurn
from turns.event_log import EventLog


class ReplyBuilder:
    """The reply as it grows: an :class:`agent.run.RunObserver` that turns what the agent does into events."""

    def __init__(self, started: StartedTurn, log: EventLog) -> None:
        self._started = started
        self._log = log
        self._pieces: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[str, ToolCall | None] = {}
        self._sources: dict[int, Citation] = {}
        # What it goes on with: its calls, by id.
        self._paused = {call.id: call for call in started.paused[-1].tool_calls} if started.paused else {}
        self._left = set(started.approved)
        self.tokens = 0

    @property
    def has_begun(self) -> bool:
        """Whether there is anything of it yet."""
        return bool(self._pieces or self._reasoning or self._calls)

    def text(self, piece: str) -> None:
        """Take the next piece of the reply's text."""
        self._pieces.append(piece)
        self._log.emit(MessageDelta(id=self._log.next_id, turn_id=self._log.id, text=piece))

    def reasoning(self, piece: str) -> None:
        """Take the next piece of what the model thinks before it answers."""
        self._reasoning.append(piece)
        self._log.emit(ReasoningDelta(id=self._log.next_id, turn_id=self._log.id, text=piece))

    def tool_started(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> None:
        """Take note of a tool call that the model asked for."""
        self._left.discard(call_id)
        if call_id not in self._paused:
            self._calls[call_id] = None
        self._log.emit(ToolStarted(id=self._log.next_id, turn_id=self._log.id, call_id=call_id, tool=tool, arguments=arguments))

    def tool_progress(self, call_id: str, text: str) -> None:
        """Tell how far a tool is."""
        self._log.emit(ToolProgress(id=self._log.next_id, turn_id=self._log.id, call_id=call_id, text=text))

    def call_opened(self, call: ToolCall) -> None:
        """Take a tool call that waits for somebody."""
        self._calls[call.id] = call
        kind = ApprovalRequested if call.awaits == "approval" else ToolRequested
        self._log.emit(
            kind(
                id=self._log.next_id,
                turn_id=self._log.id,
                call_id=call.id,
                tool=call.tool,
                arguments=call.arguments,
                expires_at=call.expires_at or utcnow(),
            )
        )

    def source_found(self, source: Citation) -> None:
        """Take note of something that the reply may cite."""
        self._sources[source.index] = source

    def tool_completed(self, call: ToolCall) -> None:
        """Take a tool call's result or error."""
        if call.id in self._paused:
            self._paused[call.id] = _outcome(self._paused[call.id], call)
        else:
            self._calls[call.id] = call
        self._log.emit(
            ToolCompleted(
                id=self._log.next_id,
                turn_id=self._log.id,
                call_id=call.id,
                tool=call.tool,
                result=call.result,
                error=call.error,
                duration_ms=call.duration_ms,
            )
        )

    def tokens_used(self, input_tokens: int, output_tokens: int) -> None:
        """Take note of what the turn's model calls have used."""
        # The agent may have run before, and been refused.
        self.tokens += input_tokens + output_tokens

    @property
    def approved_left(self) -> frozenset[str]:
        """The ids of the approved calls that have not been started yet: none is, twice."""
        return frozenset(self._left)

    @property
    def is_open(self) -> bool:
        """Whether somebody has to decide about a call before the reply can go on."""
        return any(call and call.status == "open" for call in self._calls.values())

    @property
    def acted(self) -> list[ToolCall]:
        """The calls that act of this attempt to answer the message and of those before it; of one made again, the latest."""
        earlier = self._started.message.tool_calls
        made = made_calls(earlier)
        acted = [call for call in self._calls.values() if call and call.key and call.status != "open" and call.key not in made]
        again = {call.key for call in acted}
        return [*(call for call in earlier if call.key not in again), *acted]

    @property
    def paused(self) -> Message | None:
        """The paused reply that this one goes on with, its calls as they are now."""
        return self._paused_with(self._paused.values())

    def settled(self) -> Message | None:
        """Return the paused reply as the turn leaves it: what was approved, and was not begun any more, has not acted."""
        return self._paused_with(call.not_made() if call.id in self._left else call for call in self._paused.values())

    def _paused_with(self, calls: Iterable[ToolCall]) -> Message | None:
        if not self._started.paused:
            return None
        return self._started.paused[-1].model_copy(update={"tool_calls": list(calls)})

    def build(self, status: TurnStatus, metadata: Metadata) -> Message:
        """Return the reply as it is now, with the calls that have ended, in the order in which they began.

        What is open stays open only where the turn pauses.
        """
        content = "".join(self._pieces)
        calls = [call for call in self._calls.values() if call is not None]
        if status != "paused" and self.is_open:
            calls = refuse_open(calls, Decider(self._started.owner.user, utcnow(), CANCELLED))
        return Message(
            id=message_id(self._started.thread.id, self._started.reply_seq),
            thread_id=self._started.thread.id,
            seq=self._started.reply_seq,
            role="assistant",
            content=content,
            reasoning="".join(self._reasoning) or None,
            timestamp=utcnow(),
            status=status,
            turn_id=self._started.turn_id,
            tool_calls=calls,
            citations=cited(content, self._sources.values()),
            metadata=metadata,
        )


def _outcome(decided: ToolCall, made: ToolCall) -> ToolCall:
    """Return a call that was decided about as it has ended."""
    outcome = {"status": made.status, "result": made.result, "error": made.error, "duration_ms": made.duration_ms}
    return decided.model_copy(update=outcome)
