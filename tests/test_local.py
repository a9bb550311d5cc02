"""`local.py` as its user meets it: a process, its banner, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import httpx2
import pytest

from tests.fakes.model import FakeModel, Reply
from tests.support.local import ROOT, address_in, read_banner, running, started


async def test_the_banner_tells_what_runs_and_a_signal_ends_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, banner):
        assert str(tmp_path / "chat.db") in banner
        assert "offline" in banner
        assert "  tools    get_tide, calculate, search_knowledge_base\n" in banner
        async with httpx2.AsyncClient(base_url=address_in(banner), timeout=30) as client:
            assert (await client.get("/api/health")).status_code == 200
            thread = (await client.post("/api/threads", json={})).json()
            answer = await client.post(f"/api/threads/{thread['id']}/messages", json={"content": "What is 85 * 0.15?"})
            assert answer.json()["tool_calls"][0]["result"] == 12.75
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) in (0, -signal.SIGTERM)


async def test_ctrl_c_ends_it_without_a_word(tmp_path: Path) -> None:
    async with started("local.py", {"DATA_DIR": str(tmp_path)}, stderr=asyncio.subprocess.PIPE) as process:
        await read_banner(process)
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, errors) == (0, b"")


async def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, banner), httpx2.AsyncClient(base_url=address_in(banner), timeout=30) as client:
        thread = (await client.post("/api/threads", json={"title": "kept"})).json()
        path = f"/api/threads/{thread['id']}/messages"
        answer = (await client.post(path, json={"content": "Tell me a joke"})).json()
        process.kill()
        await process.wait()
    async with running(tmp_path) as (_, banner), httpx2.AsyncClient(base_url=address_in(banner), timeout=30) as client:
        messages = (await client.get(path)).json()["messages"]
        assert [message["content"] for message in messages] == ["Tell me a joke", answer["content"]]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"HOST": "0.0.0.0"}, "HOST"),  # noqa: S104 - that it is refused is the point
        ({"PORT": "none"}, "PORT"),
        ({"OPENAI_API_KEY": "k"}, "OPENAI_MODEL"),
        ({"REDIS_URL": "redis://:sesame#open@cache:6379"}, "REDIS_URL"),
        ({"REDIS_URL": "sesame://cache"}, "REDIS_URL"),
        ({"OPENAI_BASE_URL": "https://ann:sesame/open@models.example/v1", "OPENAI_MODEL": "m"}, "OPENAI_BASE_URL"),
    ],
)
async def test_unsafe_and_wrong_settings_are_refused_in_one_line(
    tmp_path: Path, environment: dict[str, str], told: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "local.py", cwd=ROOT, env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert told in errors.decode()
    assert "Traceback" not in errors.decode()
    assert "sesame" not in errors.decode()


async def test_a_failed_start_tells_the_typed_error_and_no_exceptions_text(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "local.py",
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "DATA_DIR": str(occupied)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 3
    assert "StoreMisconfigured" in errors.decode()
    assert "[Errno" not in errors.decode()
    assert "Traceback" not in errors.decode()


async def errors_of(program: str = "local.py", **environment: str) -> tuple[int | None, str]:
    """Start a program where it cannot; return its exit code, and what it has told of that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, output.decode()


@pytest.mark.parametrize("program", ["local.py", "dev.py"])
async def test_a_port_that_is_in_use_is_told_once(tmp_path: Path, program: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = await errors_of(program, DATA_DIR=str(tmp_path), PORT=str(port))
    assert (code, told) == (2, f"These settings cannot be used:\nPORT: {port} is in use; set PORT to another\n")


@pytest.mark.parametrize(
    "address", ["redis://:pa/KILI@h:6379/0", "redis://:KILI@h:KILI", "redis://u:[KILI]@h", "redis://:KILI℀@h:1", "KILI@h:6379"]
)
async def test_a_failed_start_tells_no_part_of_a_redis_password(tmp_path: Path, address: str) -> None:
    """Audit L3."""
    code, told = await errors_of(DATA_DIR=str(tmp_path), REDIS_URL=address)
    assert (code, "REDIS_URL: " in told, "pa" in told.split(), "KILI" in told) == (2, True, False, False)


async def test_the_banner_tells_no_credentials_of_an_address(tmp_path: Path) -> None:
    """Audit L3."""
    settings = {"OPENAI_BASE_URL": "http://ann:KILI@localhost:1/v1?key=KILI", "OPENAI_MODEL": "gpt-x"}
    async with running(tmp_path, **settings) as (_, banner):
        assert "gpt-x on http://localhost:1/v1\n" in banner
        assert "KILI" not in banner


async def test_a_signal_lets_the_running_turn_finish(tmp_path: Path) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await answer.wait()

    async with FakeModel(Reply(text="Just in time.", wait=wait)) as model:
        environment = {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_MODEL": "gpt-x"}
        async with running(tmp_path, **environment) as (process, banner):
            async with httpx2.AsyncClient(base_url=address_in(banner), timeout=30) as client:
                thread = (await client.post("/api/threads", json={})).json()
                sending = asyncio.create_task(client.post(f"/api/threads/{thread['id']}/messages", json={"content": "hi"}))
                await asked.wait()
                process.send_signal(signal.SIGTERM)
                answer.set()
                assert (await sending).json()["content"] == "Just in time."
            await asyncio.wait_for(process.wait(), 15)
