"""A channel with its own time, and turns that go by a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from microsoft_agents.activity import Activity
from microsoft_agents.hosting.core import TurnContext

from events import MessageDelta, ReasoningDelta, ToolCompleted, ToolStarted, TurnFailed
from models import Citation, Message, Problem, message_id, new_id, utcnow
from settings import Settings
from teams.channel_rules import Mode, Pacing
from teams.connector import Adapter, open_adapter
from teams.messages import strings_for
from teams.renderer import Outcome, RenderOptions, TurnRenderer
from teams.sender import Sender
from tests.fakes import activities
from tests.fakes.connector import FakeClock, FakeConnector
from tests.support.bot import serve_bot
from tests.support.harbour import get_tide
from tools.calculator import calculate
from tools.knowledge_base import Index, as_tool
from tools.tool import ToolSpec, spec_of
from turns.event_log import EventLog

THREAD = f"thread_{'1' * 32}"
FUNCTIONS: tuple[Callable[..., Any], ...] = (calculate, get_tide, as_tool(Index(), "berths"))
TOOLS = {function.__name__: spec_of(function) for function in FUNCTIONS}


async def known_tools() -> dict[str, ToolSpec]:
    return TOOLS


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def connector(clock: FakeClock) -> AsyncIterator[FakeConnector]:
    async with FakeConnector(clock) as connector:
        yield connector


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    async with open_adapter(Settings(data_dir=tmp_path, teams_local=True)) as adapter:
        yield adapter


@pytest.fixture
async def channel() -> AsyncIterator[FakeConnector]:
    async with FakeConnector(FakeClock(patience=0.05)) as channel:
        yield channel


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, teams_local=True)


@pytest.fixture
async def api(settings: Settings, channel: FakeConnector) -> AsyncIterator[httpx2.AsyncClient]:
    async with serve_bot(settings, channel) as client:
        yield client


@dataclass
class Turn:
    """A turn whose events come when the script says, and a conversation that it is shown in."""

    adapter: Adapter
    connector: FakeConnector
    clock: FakeClock
    log: EventLog = field(default_factory=lambda: EventLog(new_id("thread"), new_id("turn")))
    cancelled: int = 0
    said: str = ""
    thought: str | None = None

    def say(self, seconds: float, text: str) -> Turn:
        self.said += text
        self.clock.at(seconds, lambda: self.log.emit(MessageDelta(id=self.log.next_id, turn_id=self.log.id, text=text)))
        return self

    def think(self, seconds: float, text: str) -> Turn:
        self.thought = (self.thought or "") + text
        self.clock.at(seconds, lambda: self.log.emit(ReasoningDelta(id=self.log.next_id, turn_id=self.log.id, text=text)))
        return self

    def call(self, seconds: float, tool: str, arguments: dict[str, Any]) -> Turn:
        def emit() -> None:
            made = ToolStarted(id=self.log.next_id, turn_id=self.log.id, call_id=f"call_{tool}", tool=tool, arguments=arguments)
            self.log.emit(made)

        self.clock.at(seconds, emit)
        return self

    def result(self, seconds: float, tool: str, result: Any) -> Turn:
        def emit() -> None:
            made = ToolCompleted(
                id=self.log.next_id, turn_id=self.log.id, call_id=f"call_{tool}", tool=tool, result=result, duration_ms=1
            )
            self.log.emit(made)

        self.clock.at(seconds, emit)
        return self

    def end(self, seconds: float, *, citations: list[Citation] | None = None) -> Turn:
        self.clock.at(seconds, lambda: self.log.end(answer(self.said, reasoning=self.thought, citations=citations or [])))
        return self

    def fail(self, seconds: float, type: str = "model_unavailable") -> Turn:
        problem = Problem(type=type, title="x", status=503, detail="not for users", retryable=True)
        self.clock.at(seconds, lambda: self.log.emit(TurnFailed(id=self.log.next_id, turn_id=self.log.id, problem=problem)))
        return self

    async def cancel(self) -> None:
        self.cancelled += 1
        if not self.log.ended:
            self.log.end(answer("partial", status="cancelled"))

    async def show(self, *, incoming: dict[str, Any] | None = None, mode: Mode = Mode.STREAM, **look: Any) -> Outcome:
        fields: dict[str, Any] = {
            "strings": strings_for("en"),
            "tools": known_tools,
            "mode": mode,
            "cards": "with_answer",
            "sensitivity": None,
            "feedback": True,
            "request_id": "req_1",
            "pacing": Pacing(),
            "start": None,
            "repeats_failures": False,
            **look,
        }
        outcomes: list[Outcome] = []

        async def work(context: TurnContext) -> None:
            rendering = TurnRenderer(Sender(context, self.clock), self.clock, RenderOptions(**fields), self.cancel)
            outcomes.append(await rendering.show(self.log))

        body = incoming or activities.message(self.connector.url)
        await self.adapter.run(Activity.model_validate(body), work)
        return outcomes[0]


def answer(content: str, *, status: Any = "completed", citations: list[Citation] | None = None, **fields: Any) -> Message:
    return Message(
        id=message_id(THREAD, 2),
        thread_id=THREAD,
        seq=2,
        role="assistant",
        content=content,
        timestamp=utcnow(),
        status=status,
        turn_id=new_id("turn"),
        citations=citations or [],
        **fields,
    )


@pytest.fixture
def turn(adapter: Adapter, connector: FakeConnector, clock: FakeClock) -> Turn:
    return Turn(adapter, connector, clock)
