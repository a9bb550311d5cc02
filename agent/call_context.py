"""What a tool may know of its call, and how it tells how far it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.run import BegunCall, Run
from agent.text import storable
from tools.context import ToolContext, current_call

MAX_PROGRESS = 500


@contextmanager
def known_to_tool(run: Run, call: BegunCall) -> Iterator[None]:
    """Let the tool that the body runs know its call; what it says about its progress later than that is not told."""
    loop = asyncio.get_running_loop()
    is_running = True

    def pass_on(text: str) -> None:
        if is_running:
            run.emit_progress(call, text)

    def emit(text: str) -> None:
        # Tools that block run in threads of their own.
        loop.call_soon_threadsafe(pass_on, storable(str(text)[:MAX_PROGRESS]))

    token = current_call.set(tool_context(run, call, emit))
    try:
        yield
    finally:
        is_running = False
        current_call.reset(token)


def tool_context(run: Run, call: BegunCall, emit: Callable[[str], None] = lambda _: None) -> ToolContext:
    """Return what a tool may know of a call."""
    message = run.request.message
    return ToolContext(
        owner=run.request.owner,
        thread_id=message.thread_id,
        turn_id=message.turn_id,
        message_id=message.id,
        call_id=call.id,
        call_key=call.key,
        metadata=message.metadata,
        locale=run.request.locale,
        logger=logging.getLogger(f"tools.{call.tool}"),
        emit=emit,
    )
