"""An agent whose every run follows the test's script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.agent import RunResult
from agent.request import RunRequest
from agent.run import RunObserver
from models import Message

Script = Callable[[RunObserver], Awaitable[None]]


class ScriptedAgent:
    """Runs the scripts in turn (the last one again and again) and records what it was given."""

    model = "scripted"

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.runs: list[tuple[list[Message], Message, bool]] = []

    async def run(self, request: RunRequest, *, observer: RunObserver, stream: bool) -> RunResult:
        self.runs.append((list(request.history), request.message, stream))
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        try:
            await script(observer)
        finally:
            observer.tokens_used(3, 5)
        return RunResult(model="scripted", input_tokens=3, output_tokens=5)


async def say_hello(observer: RunObserver) -> None:
    observer.text("Hello")
    observer.text(" there")
