"""``DEV_MODE``: what failed is told with its text, in problems, in tool calls and in the log; without it, never."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from stores.sqlite.store import SqliteStore
from tests.fakes.model import FakeModel, Reply
from tests.support.server import serve_api
from tools.environment import ToolEnvironment
from tools.tool import Tool, tool

SENTENCE = "this deployment does not support tools"


@tool(title={"en": "Look up"})
def look_up(word: str) -> object:
    """Look a word up."""
    if word == "object":
        return object()
    return {"known": 1}[word]


@asynccontextmanager
async def open_broken_tool(context: ToolEnvironment) -> AsyncIterator[list[Tool]]:
    yield [look_up]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


async def ask(settings: dict[str, Any], content: str = "hi") -> tuple[int, dict[str, Any]]:
    async with serve_api(Settings.model_validate(settings)) as api:
        answer = await api.post("/api/invoke", json={"user_input": content})
        return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("word", "error", "why"),
    [
        ("unknown", "the tool failed", ": KeyError: 'unknown'"),
        ("object", "the tool's result cannot be shown", ": PydanticSerializationError: Unable to serialize unknown type: "),
    ],
)
async def test_a_failing_tool_says_what_failed(
    word: str, error: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tools.registry.open_tools", open_broken_tool)
    for dev_mode in (False, True):
        caplog.clear()
        _, answer = await ask({"data_dir": tmp_path, "dev_mode": dev_mode}, f'call look_up {{"word": "{word}"}}')
        [call] = answer["tool_calls"]
        assert call["error"].startswith(error + why if dev_mode else error)
        assert (call["error"] == error) is not dev_mode
        assert (why[2:] in caplog.text) is dev_mode


async def test_a_failed_turn_says_what_the_server_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    error = {"message": SENTENCE, "type": "invalid_request_error", "code": None}
    async with FakeModel(Reply(status=400, error=error)) as model:
        given = {"data_dir": tmp_path, "openai_base_url": f"{model.url}/v1", "openai_model": "gpt-x"}
        status, problem = await ask(given)
        assert (status, problem["type"], SENTENCE in problem["detail"]) == (500, "model_misconfigured", False)
        # What a server says is for the operator in any mode: agent/llm/server_words.py.
        assert SENTENCE in caplog.text
        assert "Traceback" not in caplog.text
        status, problem = await ask({**given, "dev_mode": True})
        assert (status, problem["type"]) == (500, "model_misconfigured")
        assert "ServerError: status 400: " in problem["detail"]
        assert SENTENCE in problem["detail"]
        assert SENTENCE in caplog.text
        assert "Traceback (most recent call last):" in caplog.text


@pytest.mark.parametrize("dev_mode", [False, True])
async def test_an_internal_error_says_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dev_mode: bool) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ValueError("no such thing\ud800")

    monkeypatch.setattr(SqliteStore, "list_threads", fail)
    async with serve_api(Settings(data_dir=tmp_path, dev_mode=dev_mode)) as api:
        problem = (await api.get("/api/threads")).json()
    told = "Something went wrong on our side." + (r" ValueError: no such thing\ud800" if dev_mode else "")
    assert (problem["type"], problem["detail"]) == ("internal_error", told)


async def test_what_the_caller_did_wrong_is_told_as_ever(tmp_path: Path) -> None:
    details = []
    for dev_mode in (False, True):
        async with serve_api(Settings(data_dir=tmp_path, dev_mode=dev_mode)) as api:
            details.append(
                [(await api.get(path)).json()["detail"] for path in ("/api/threads/x", "/api/threads?limit=0", "/x")]
            )
    assert details[0] == details[1]
