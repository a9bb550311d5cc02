"""An agent on a fake model, and what it tells."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from pydantic import Field, JsonValue

from agent.agent import ChatAgent, RunResult, open_agent
from agent.request import RunRequest
from calls import ToolCall
from errors import ToolError
from identity.azure_credential import AzureCredential
from models import Citation, Message, Owner, message_id, utcnow
from settings import Settings
from tests.fakes.model import FakeModel
from tests.support.assistant_folder import HARBOUR

THREAD_ID = "thread_" + "0" * 32


def calculate(expression: Annotated[str, Field(description="arithmetic")]) -> float:
    """Calculate."""
    if expression == "1/0":
        raise ToolError("division by zero")
    if expression == "crash":
        raise RuntimeError("secret")
    return 12.75


async def get_tide(place: Annotated[str, Field(description="a place")], units: str = "metric") -> dict[str, Any]:
    """Look up the tide."""
    return {"place": place, "units": units}


class Recorder:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.calls: list[ToolCall] = []
        self.sources: list[Citation] = []

    def text(self, piece: str) -> None:
        self.events.append(("text", piece))

    def reasoning(self, piece: str) -> None:
        self.events.append(("reasoning", piece))

    def tool_started(self, call_id: str, tool: str, arguments: dict[str, JsonValue]) -> None:
        self.events.append(("started", (call_id, tool, arguments)))

    def tool_progress(self, call_id: str, text: str) -> None:
        self.events.append(("progress", (call_id, text)))

    def call_opened(self, call: ToolCall) -> None:
        self.events.append(("opened", call.id))
        self.calls.append(call)

    def source_found(self, source: Citation) -> None:
        self.sources.append(source)

    def tool_completed(self, call: ToolCall) -> None:
        self.events.append(("completed", call.id))
        self.calls.append(call)

    def tokens_used(self, input_tokens: int, output_tokens: int) -> None:
        self.tokens = (input_tokens, output_tokens)

    @property
    def content(self) -> str:
        return "".join(piece for kind, piece in self.events if kind == "text")

    @property
    def thoughts(self) -> str:
        return "".join(piece for kind, piece in self.events if kind == "reasoning")


def a_message(content: str, seq: int = 1, role: Any = "user", calls: list[ToolCall] | None = None) -> Message:
    return Message(
        id=message_id(THREAD_ID, seq),
        thread_id=THREAD_ID,
        seq=seq,
        role=role,
        content=content,
        timestamp=utcnow(),
        status="completed",
        turn_id="turn_1",
        tool_calls=calls or [],
    )


async def record_nowhere(calls: Sequence[ToolCall]) -> None:
    """Record nothing: nobody will ask about these calls."""


def a_request(message: Message, **others: Any) -> RunRequest:
    lease: dict[str, Any] = {"record_calls": record_nowhere, "holds_lease": lambda: True}
    return RunRequest(**{"owner": Owner("t", "ann"), "message": message, **lease, **others})


@asynccontextmanager
async def agent_on(model: FakeModel, *tools: Callable[..., Any], **settings: Any) -> AsyncIterator[ChatAgent]:
    configured = Settings(openai_base_url=f"{model.url}/v1", openai_model="gpt-x", **settings)
    async with open_agent(configured, HARBOUR, tools or (calculate, get_tide), AzureCredential()) as agent:
        yield agent


async def run(agent: ChatAgent, content: str = "hi", *, stream: bool = False) -> tuple[Recorder, RunResult]:
    recorder = Recorder()
    return recorder, await agent.run(a_request(a_message(content)), observer=recorder, stream=stream)
