"""The offline model's pace: streaming and cancelling can be seen."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from agent_framework import Message

from agent.llm.offline import JOKE as JOKE_TOLD
from agent.llm.offline import OfflineChatClient
from agent.run import Run, RunOptions
from settings import Settings
from tests.support.agent import Recorder, a_message, a_request
from tests.support.events import SSE, Event, sse_events
from tests.support.server import serve_api

JOKE = Message("user", ["Tell me a joke"])


class Clock:
    """Sleeps in no time, and notes how long that would have been."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def run_options() -> tuple[RunOptions, Recorder]:
    recorder = Recorder()
    return RunOptions(run=Run(recorder, a_request(a_message("hi")))), recorder


@pytest.mark.parametrize("stream", [True, False])
async def test_it_waits_before_each_piece_of_its_text(stream: bool) -> None:
    clock = Clock()
    client = OfflineChatClient(delay_seconds=0.5, sleep=clock.sleep)
    options, recorder = run_options()
    if stream:
        assert [update async for update in client.get_response([JOKE], stream=True, options=options)]
        assert len(recorder.events) == len(clock.slept)
    else:
        await client.get_response([JOKE], options=options)
    assert recorder.content == JOKE_TOLD
    assert set(clock.slept) == {0.5}
    assert len(clock.slept) > 1


async def test_it_does_not_wait_unless_it_should() -> None:
    clock = Clock()
    client = OfflineChatClient(sleep=clock.sleep)
    options, recorder = run_options()
    assert [update async for update in client.get_response([JOKE], stream=True, options=options)]
    assert recorder.content == JOKE_TOLD
    assert clock.slept == []


async def test_a_slow_answer_can_be_cancelled(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, offline_delay_ms=60_000)) as api:
        thread = f"/api/threads/{(await api.post('/api/threads', json={})).json()['id']}"
        last = await cancelled(api, thread)
    assert (last["type"], last["message"]["content"]) == ("turn.cancelled", "")


async def cancelled(api: httpx2.AsyncClient, thread: str) -> Event:
    """Stream an answer, cancel it when it has begun, and return its last event."""
    async with api.stream("POST", f"{thread}/messages", json={"content": "Tell me a joke"}, headers=SSE) as response:
        async for event in sse_events(response):
            if event["type"] == "turn.started":
                await api.post(f"{thread}/turns/{event['turn_id']}/cancel")
    return event
