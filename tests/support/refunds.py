"""A tool that pays back, what it did, and what asks for it."""

from __future__ import annotations

from typing import Any

from calls import ToolCall
from errors import ToolError
from models import Message
from tests.fakes.model import Call
from tests.support.agent import Recorder, a_message, a_request
from tools.checks import bind_context
from tools.context import ToolContext
from tools.tool import tool

QUESTION = a_message("Refund it, please.")
REFUND = Call("send_refund", '{"order": "A1"}')


class Till:
    """A tool that acts, and what it did."""

    def __init__(self, failure: BaseException | None = None, result: Any = None) -> None:
        self.paid: list[str] = []
        self.keys: list[str] = []
        self.failure = failure
        self.result = result

    def tool(self, **spec: Any) -> Any:
        @tool(title={"en": "Refund"}, **spec)
        async def send_refund(order: str, context: ToolContext) -> Any:
            """Pay the price of an order back."""
            self.keys.append(context.call_key)
            if isinstance(self.failure, ToolError):
                raise self.failure
            self.paid.append(order)
            if self.failure:
                raise self.failure
            return self.result or {"paid": order}

        return bind_context(send_refund)


async def ask(agent: Any, stream: bool = False, **request: Any) -> Recorder:
    recorder = Recorder()
    await agent.run(a_request(QUESTION, **request), observer=recorder, stream=stream)
    return recorder


def paused(*calls: ToolCall, content: str = "") -> Message:
    return a_message(content, 2, "assistant", list(calls)).model_copy(update={"status": "paused"})


def an_open_call(id: str = "call_9", **fields: Any) -> ToolCall:
    return ToolCall(
        id=id, tool="send_refund", arguments={"order": "A1"}, status="open", awaits="approval", key="key_9", **fields
    )
