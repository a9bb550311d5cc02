"""The wait for a deployment, on a server that comes up bit by bit."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2
import pytest

from tests.deploy import waiting
from tests.deploy.waiting import NotUp, until_ready

PROBLEM = httpx2.Response(
    503, json={"detail": "These do not work: store."}, headers={"content-type": "application/problem+json"}
)


class Start:
    """An app that answers as it is told, the last answer again and again; time passes only while somebody sleeps."""

    def __init__(self, answers: Sequence[httpx2.Response | Exception]) -> None:
        self.told: list[str] = []
        self._answers = list(answers)
        self._now = 0.0

    async def wait(self) -> None:
        transport = httpx2.MockTransport(self._answer)
        async with httpx2.AsyncClient(base_url="https://chat.example", transport=transport) as client:
            await until_ready(client, self.told.append, sleep=self._sleep, clock=lambda: self._now)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/api/ready"
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _sleep(self, seconds: float) -> None:
        self._now += seconds


async def test_each_state_on_the_way_is_told() -> None:
    start = Start([httpx2.ConnectError("no such host"), httpx2.Response(404), PROBLEM, httpx2.Response(200)])
    await start.wait()
    assert start.told == [
        "waiting for https://chat.example: no answer (ConnectError) (0 of 400 s)",
        "waiting for https://chat.example: status 404 (5 of 400 s)",
        "waiting for https://chat.example: 503 These do not work: store. (10 of 400 s)",
    ]


async def test_an_app_that_is_up_is_not_waited_for() -> None:
    start = Start([httpx2.Response(200)])
    await start.wait()
    assert start.told == []


async def test_the_wait_ends_with_what_was_answered_last() -> None:
    start = Start([PROBLEM])
    with pytest.raises(NotUp, match="not ready after 400 s: 503 These do not work: store"):
        await start.wait()
    assert len(start.told) == waiting.START_SECONDS / waiting.PAUSE_SECONDS
