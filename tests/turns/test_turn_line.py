"""The one line that the log has of each turn: what it has used, as fields and as a sentence."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from observability.logs import TextFormatter
from settings import Settings
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.server import serve_api

SUM = Call("calculate", '{"expression": "2 + 2"}')


async def line_of(
    caplog: pytest.LogCaptureFixture, folder: Path, *replies: Reply, asked: asyncio.Event | None = None
) -> logging.LogRecord:
    """Return the line of a turn that a scripted model answers; one that is to be cancelled says when it was ``asked``."""
    caplog.set_level(logging.INFO)
    settings = {"data_dir": folder, "openai_model": "gpt-x"}
    async with (
        FakeModel(*replies) as model,
        serve_api(Settings.model_validate({**settings, "openai_base_url": f"{model.url}/v1"})) as api,
    ):
        thread = f"/api/threads/{(await api.post('/api/threads', json={})).json()['id']}"
        headers = {"Prefer": "respond-async"} if asked else {}
        answer = (await api.post(f"{thread}/messages", json={"content": "hi"}, headers=headers)).json()
        if asked:
            await asked.wait()
            await api.post(f"{thread}/turns/{answer['id']}/cancel")
    (line,) = [record for record in caplog.records if record.getMessage() == "turn"]
    return line


def fields(line: logging.LogRecord) -> dict[str, Any]:
    names = ("turn_status", "model_calls", "input_tokens", "output_tokens", "store_requests", "error_type")
    return {name: value for name, value in vars(line).items() if name in names}


async def test_a_turns_line_tells_what_it_has_used(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    line = await line_of(caplog, tmp_path, Reply(calls=(SUM, SUM)), Reply(text="Four it is."))
    used = {"model_calls": 2, "input_tokens": 22, "output_tokens": 14, "store_requests": 2}
    assert fields(line) == {"turn_status": "completed", **used}
    told = vars(line)
    assert told["duration_ms"] > 0
    assert (told["thread_id"][:7], told["turn_id"][:5]) == ("thread_", "turn_")
    assert [each.split(" ")[0] for each in told["tools"].split(", ")] == ["calculate", "calculate"]


async def test_here_it_is_a_sentence(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    text = TextFormatter().format(await line_of(caplog, tmp_path, Reply(text="Hello.")))
    assert " INFO    turns.telemetry: turn completed in " in text
    assert " ms, 1 model calls, 11 tokens in, 7 out, tools: none, 2 store requests request_id=req_" in text
    assert "owner_hash" not in text


async def test_a_failed_turns_line_names_its_problem(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    told = fields(await line_of(caplog, tmp_path, Reply(status=400)))
    assert (told["turn_status"], told["error_type"], told["model_calls"]) == ("failed", "model_misconfigured", 1)


async def test_a_cancelled_turn_has_its_line_too(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def wait() -> None:
        asked.set()
        await asyncio.Event().wait()

    told = fields(await line_of(caplog, tmp_path, Reply(text="never", wait=wait), asked=asked))
    assert (told["turn_status"], told["model_calls"], told["output_tokens"]) == ("cancelled", 1, 0)


async def test_a_message_that_is_refused_is_no_turn(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO)
    async with serve_api(Settings(data_dir=tmp_path)) as api:
        await api.post(f"/api/threads/thread_{'0' * 32}/messages", json={"content": "hi"})
    assert "turn" not in [record.getMessage() for record in caplog.records]
