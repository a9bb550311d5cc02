"""What is told of a turn: its span, its metrics, and whose lines its log lines are."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span

from errors import TurnInterrupted
from models import Message, Owner, Problem, TurnStatus
from observability import log_context, metrics, spans
from observability.owner_hash import owner_hash
from observability.turn_usage import count_turn
from turns.event_log import EventLog

# By their names in a message's metadata; as OpenTelemetry's conventions for generative AI have them.
USAGE_ATTRIBUTES = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
logger = logging.getLogger(__name__)


class ObservedTurn:
    """A turn from the moment its message came; ``log`` is there once it has begun."""

    def __init__(self, span: Span, *, stream: bool) -> None:
        self.log: EventLog | None = None
        self._span = span
        self._stream = stream
        self._started = time.perf_counter()
        self._usage = count_turn()

    def find_thread(self, thread_id: str) -> None:
        """Record which thread the turn is of."""
        self._span.set_attribute("chat.thread.id", thread_id)
        log_context.bind(thread_id=thread_id)

    def continues(self, turn_id: str) -> None:
        """Record which paused turn this one goes on with."""
        self._span.set_attribute("chat.turn.continues", turn_id)

    def end(self) -> None:
        """Record how the turn has ended, as its log tells; one that was refused has none."""
        if self.log and self.log.replayed:
            self._span.set_attribute("chat.turn.id", self.log.id)
            metrics.turns_replayed.add(1)
        elif self.log and self.log.result:
            self._record(self.log, self.log.result)

    def _record(self, log: EventLog, outcome: Message | Problem) -> None:
        status = _status(outcome)
        failure = {"error.type": outcome.type} if isinstance(outcome, Problem) else {}
        metrics.turns.add(1, {"chat.turn.status": status, **failure})
        seconds = time.perf_counter() - self._started
        metrics.turn_duration.record(seconds, {"chat.turn.status": status})
        self._span.set_attributes({"chat.turn.status": status, "chat.tool_calls": log.tool_calls})
        if isinstance(outcome, Problem):
            spans.fail(self._span, outcome.type)
        else:
            self._span.set_attributes(_usage(outcome))
        if self._stream and log.first_text_at is not None:
            waited = log.first_text_at - self._started
            metrics.time_to_first_text.record(waited)
            self._span.set_attribute("chat.turn.time_to_first_text", waited)
        self._write_line(status, seconds, outcome.type if isinstance(outcome, Problem) else None)

    def _write_line(self, status: TurnStatus, seconds: float, error_type: str | None) -> None:
        usage = self._usage
        fields: dict[str, str | int | float] = {
            "turn_status": status,
            "duration_ms": round(seconds * 1000, 1),
            "model_calls": usage.model_calls,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "tools": ", ".join(f"{tool} {milliseconds} ms" for tool, milliseconds in usage.tools),
            "store_requests": usage.store_requests,
        }
        logger.info("turn", extra={**fields, "error_type": error_type} if error_type else fields)


@contextmanager
def observed_turn(owner: Owner, turn_id: str, *, stream: bool) -> Iterator[ObservedTurn]:
    """Record the body as a turn: one span, and metrics if it begins; one that is refused has a span with the reason."""
    hashed = owner_hash(owner)
    ids = {"chat.turn.id": turn_id, "chat.owner.hash": hashed}
    log_context.bind(turn_id=turn_id, owner_hash=hashed)
    with spans.span_of("chat.turn", ids) as span:
        observed = ObservedTurn(span, stream=stream)
        try:
            yield observed
        finally:
            observed.end()


def _usage(reply: Message) -> dict[str, int]:
    """Return the tokens of all the turn's model calls; a cancelled turn does not know them."""
    usage = reply.metadata.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return {
        USAGE_ATTRIBUTES[name]: count for name, count in counts.items() if name in USAGE_ATTRIBUTES and isinstance(count, int)
    }


def _status(outcome: Message | Problem) -> TurnStatus:
    if isinstance(outcome, Message):
        return outcome.status
    return "interrupted" if outcome.type == TurnInterrupted.type else "failed"
