"""Calls of a run that act: recorded before they run, and found again by the next attempt."""

from __future__ import annotations

import asyncio

from agent.request import RunRequest
from calls import ToolCall, made_calls


class ActingCalls:
    """``earlier`` are those that other attempts have made for the same message, or may have, by their keys."""

    def __init__(self, request: RunRequest) -> None:
        self.earlier = made_calls(request.message.tool_calls)
        self._record_calls = request.record_calls
        self._made: list[ToolCall] = []
        # One write after another, or the one that knows less could come last.
        self._writing = asyncio.Lock()

    async def record(self, call: ToolCall) -> None:
        """Record that a call is about to act.

        :raises ChatError: if that fails.
        """
        async with self._writing:
            await self._record_calls([*self._made, call])
            self._made.append(call)
