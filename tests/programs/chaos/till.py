"""Tools that act, in a chaos run: each time that one runs is a line in a file, which outlives every process."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tests.programs.chaos.invariants import Found
from tools.checks import bind_context
from tools.context import ToolContext
from tools.tool import tool

VARIABLE = "CHAOS_TILL"
Order = Annotated[str, Field(description="What is paid for")]


@tool(title={"en": "Pay"}, approval="always")
async def pay(order: Order, context: ToolContext) -> dict[str, str]:
    """Pay, once somebody has said so."""
    return await _act("pay", order, context)


@tool(title={"en": "Note"}, acts=True)
async def note(order: Order, context: ToolContext) -> dict[str, str]:
    """Note something down, without asking."""
    return await _act("note", order, context)


async def _act(name: str, order: str, context: ToolContext) -> dict[str, str]:
    line = json.dumps({"tool": name, "order": order, "key": context.call_key})
    file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode() + b"\n")
    finally:
        os.close(file)
    # Long enough to die in.
    await asyncio.sleep(random.uniform(0, 0.4))
    return {"done": order}


def tools() -> list[Callable[..., Any]]:
    """Return the tools, as the registry would open them."""
    return [bind_context(each) for each in (pay, note)]


def check_till(path: Path, approved: set[str]) -> Found:
    """Say what was done twice, and what without approval."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for (name, order), times in Counter((line["tool"], line["order"]) for line in lines).items():
        if times > 1:
            yield "doubled", f"{name} ran {times} times for {order!r}"
    for line in lines:
        if line["tool"] == "pay" and line["order"] not in approved:
            yield "wrong", f"pay ran for {line['order']!r}, which nobody has approved"
