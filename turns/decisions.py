"""What somebody decides about the open calls of a paused turn: approvals, refusals, and results of the client's own tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from calls import CallStatus, Decider, ToolCall
from errors import ApprovalExpired, InvalidRequest
from models import Message
from observability import metrics


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may run; with ``remember`` its tool need not ask again in the thread."""

    call_id: str
    approved: bool
    reason: str | None = None
    remember: bool = False


@dataclass(frozen=True, slots=True)
class ClientResult:
    """What a tool of the client's has returned, or its ``error`` in plain words."""

    call_id: str
    result: JsonValue = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is decided about a paused turn's open calls: all of them at once."""

    verdicts: Sequence[Verdict] = ()
    results: Sequence[ClientResult] = ()

    @property
    def as_json(self) -> JsonValue:
        """The same as JSON, for comparison: in which order it was said is all one."""
        said: tuple[Sequence[Verdict | ClientResult], ...] = (self.verdicts, self.results)
        return [[asdict(each) for each in sorted(some, key=lambda each: each.call_id)] for some in said]


@dataclass(frozen=True, slots=True)
class Decided:
    """All calls of a paused reply, decided about; the ids of those to run, and the tools that need not ask again."""

    calls: list[ToolCall]
    approved: frozenset[str]
    remembered: frozenset[str]

    def count(self) -> None:
        """Count what was decided."""
        for call in self.calls:
            if call.awaits == "approval" and call.status in ("unknown", "refused"):
                decision = "approved" if call.id in self.approved else "refused"
                metrics.tool_decisions.add(1, {"gen_ai.tool.name": call.tool, "chat.tool.decision": decision})


def decide(reply: Message, decisions: Decisions, by: Decider) -> Decided:
    """Decide about all open calls of a paused reply.

    :raises InvalidRequest: naming what is missing, and what is not open or not of that kind.
    :raises ApprovalExpired: for an approval or a result that comes too late.
    """
    _check(reply, decisions)
    verdicts = {verdict.call_id: verdict for verdict in decisions.verdicts}
    results = {result.call_id: result for result in decisions.results}
    calls, approved, remembered = [], set(), set()
    for call in reply.tool_calls:
        if verdict := verdicts.get(call.id):
            decider = by._replace(reason=verdict.reason)
            if verdict.approved:
                _check_time(call, by)
                approved.add(call.id)
                remembered |= {call.tool} if verdict.remember else set()
            calls.append(call.approved(decider) if verdict.approved else call.refused(decider))
        elif result := results.get(call.id):
            if result.error is None:
                _check_time(call, by)
            status: CallStatus = "completed" if result.error is None else "failed"
            calls.append(call.decided(status, by, result=result.result, error=result.error))
        else:
            calls.append(call)
    return Decided(calls, frozenset(approved), frozenset(remembered))


def _check(reply: Message, decisions: Decisions) -> None:
    errors: list[tuple[str, str]] = []
    given = {
        "approvals": ("approval", [verdict.call_id for verdict in decisions.verdicts]),
        "tool_results": ("result", [result.call_id for result in decisions.results]),
    }
    for name, (awaits, ids) in given.items():
        opened = [call.id for call in reply.tool_calls if call.status == "open" and call.awaits == awaits]
        errors += [(f"body.{name}", f"call {id} is missing") for id in opened if id not in ids]
        for number, id in enumerate(ids):
            if id not in opened:
                errors.append((f"body.{name}.{number}.call_id", "is not an open call of this kind"))
        errors += [(f"body.{name}", f"call {id} is there {times} times") for id, times in Counter(ids).items() if times > 1]
    if errors:
        raise InvalidRequest(errors)


def _check_time(call: ToolCall, by: Decider) -> None:
    if call.expires_at and by.at >= call.expires_at:
        metrics.tool_decisions.add(1, {"gen_ai.tool.name": call.tool, "chat.tool.decision": "expired"})
        raise ApprovalExpired(call.id)
