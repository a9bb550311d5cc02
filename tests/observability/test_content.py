"""No message, no tool's argument or result, no secret is in anything that is collected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from errors import ToolError
from settings import Settings
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.collected import Collected
from tests.support.events import SSE
from tests.support.server import serve_api
from tools.environment import ToolEnvironment

CONTENT, SECRET, TOLD, RESULT = "MARKED-CONTENT", "MARKED-SECRET", "MARKED-ANSWER", "MARKED-RESULT"
ARGUMENT = f'{{"text": "{CONTENT}"}}'


async def tell(text: str) -> str:
    """Return something that nobody else may see."""
    return f"{RESULT} {text}"


async def refuse(text: str) -> str:
    """Fail in words."""
    raise ToolError(f"{RESULT} {text}")


async def break_down(text: str) -> str:
    """Fail without knowing how."""
    raise RuntimeError(f"{RESULT} {text}")


@asynccontextmanager
async def open_tools(_: ToolEnvironment) -> AsyncIterator[list[Any]]:
    yield [tell, refuse, break_down]


REPLIES = (
    Reply(calls=tuple(Call(name, ARGUMENT, f"call_{name}") for name in ("tell", "refuse", "break_down"))),
    Reply(text=TOLD),
    Reply(calls=(Call("tell", f'{{"{CONTENT}": 1}}'), Call(f"no_such_{TOLD}", ARGUMENT, "call_2"))),
    Reply(text=TOLD),
    Reply(text=f"{TOLD} and {TOLD}", drop_after_pieces=2),
    Reply(status=400, error={"message": f"{CONTENT} is refused", "type": "invalid_request_error", "code": "bad"}),
    Reply(status=429, error={"message": SECRET, "type": f"{CONTENT} type", "code": None}, headers={"retry-after": "60"}),
    Reply(body=f'{{"{TOLD}": '.encode()),
    Reply(text=TOLD),
)


@pytest.mark.parametrize("stream", [False, True])
async def test_no_content_and_no_secret_is_collected(
    collected: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr("tools.registry.open_tools", open_tools)
    async with FakeModel(*REPLIES) as model:
        settings = Settings.model_validate(
            {
                "data_dir": tmp_path,
                "openai_base_url": f"{model.url}/v1",
                "openai_model": "gpt-x",
                "openai_api_key": SECRET,
            }
        )
        async with serve_api(settings) as api:
            thread = (await api.post("/api/threads", json={"title": CONTENT, "metadata": {CONTENT: SECRET}})).json()
            path = f"/api/threads/{thread['id']}/messages"
            for number in range(8):
                headers = {"Idempotency-Key": f"{SECRET}-{number}", "Authorization": f"Bearer {SECRET}", "Cookie": SECRET}
                await api.post(f"{path}?q={CONTENT}", json={"content": CONTENT}, headers=headers | (SSE if stream else {}))
            await api.post(path, json={"content": CONTENT, CONTENT: 1})
            await api.get("/api/threads", headers={"X-API-Key": SECRET})
            await api.get("/api/export")
    assert len(model.requests) >= 8
    assert {span.name for span in collected.spans} >= {"chat.turn", "chat gpt-x", "execute_tool break_down"}
    assert {status for status in ("completed", "failed") if collected.sum("chat.turns", chat__turn__status=status)} == {
        "completed",
        "failed",
    }
    assert [span.name for span in collected.spans if span.events] == []
    everything = collected.everything()
    for marked in (CONTENT, SECRET, TOLD, RESULT):
        assert marked not in everything
