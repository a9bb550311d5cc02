"""What the turn of the current task has used, counted where it is used, for the turn's line in the log."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class TurnUsage:
    """Model calls with their tokens, requests to the store, and the tools that were called, each with its milliseconds."""

    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    store_requests: int = 0
    tools: list[tuple[str, int]] = field(default_factory=list)


_usage: ContextVar[TurnUsage | None] = ContextVar("turn_usage", default=None)


def count_turn() -> TurnUsage:
    """Begin a count for the current task, and the tasks that it makes."""
    usage = TurnUsage()
    _usage.set(usage)
    return usage


def add_model_calls(calls: int, input_tokens: int, output_tokens: int) -> None:
    """Count what a run of the agent has used."""
    if usage := _usage.get():
        usage.model_calls += calls
        usage.input_tokens += input_tokens
        usage.output_tokens += output_tokens


def add_tool_call(tool: str, milliseconds: int) -> None:
    """Count a call of a tool."""
    if usage := _usage.get():
        usage.tools.append((tool, milliseconds))


def add_store_requests(requests: int) -> None:
    """Count requests to the store."""
    if usage := _usage.get():
        usage.store_requests += requests
