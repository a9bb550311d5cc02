"""The command line client of ``examples/``, as its user runs it."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from identity.api_keys import make_key
from settings import Settings
from tests.fakes.model import FakeModel, Reply
from tests.fakes.relay import Relay
from tests.support.broken_stream import WORDS, breaking_network
from tests.support.server import serve_api

CHAT = Path(__file__).parents[2] / "examples" / "chat.py"
KEY, ENTRY = make_key("terminal", "contoso", ["chat"], None)


@asynccontextmanager
async def chat(url: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the client with its input and output in the test's hands."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-W", "error", str(CHAT), "--url", url, *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=_mind_ctrl_c)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _mind_ctrl_c() -> None:
    """Let the program be interrupted also where these tests run in the background of a shell, which has that ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def say(url: str, *lines: str, arguments: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Chat, and return the exit code, the output and the errors."""
    async with chat(url, *arguments) as process:
        output, errors = await asyncio.wait_for(process.communicate("\n".join(lines).encode()), 60)
    return process.returncode or 0, output.decode(), errors.decode()


async def test_the_terminal_chats_and_goes_on_later(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, api_keys=(ENTRY,))) as api:
        url, signed_in = str(api.base_url), ("--key", KEY, "--user", "ann")
        code, output, _ = await say(url, "What is 2 + 2?", "", "Tell me a joke", arguments=signed_in)
        thread, call, answer, *_ = output.splitlines()
        assert (code, call, answer) == (0, '[calculate {"expression": "2 + 2"}]', "2 + 2 = 4")
        code, output, _ = await say(url, "And 3 + 3?", arguments=(*signed_in, "--thread", thread.removeprefix("thread ")))
        assert (code, output.splitlines()[-1]) == (0, "3 + 3 = 6")
        code, _, errors = await say(url, "hi")
        assert code == 1
        assert "Not signed in" in errors


async def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    # In the middle of events, in the head of an answer, and before it.
    async with breaking_network(tmp_path, 3000, 100, 1, 2000) as (api, network):
        code, output, _ = await say(network.url, "hi")
        thread = output.splitlines()[0].removeprefix("thread ")
        history = (await api.get(f"/api/threads/{thread}/messages")).json()["messages"]
    assert (code, network.cut) == (0, 4)
    assert output.splitlines()[1] == WORDS
    assert [message["content"] for message in history] == ["hi", WORDS]


async def test_an_answer_that_was_there_before_its_first_event_is_shown(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path)) as api, Relay(str(api.base_url), asyncio.Event(), 1) as network:
        code, output, _ = await say(network.url, "What is 2 + 2?")
        assert (code, network.cut, output.splitlines()[-1]) == (0, 1, "2 + 2 = 4")


class Gateway(Relay):
    """Answers the first requests itself, with these lines and a page, and passes all others on."""

    def __init__(self, url: str, *answers: bytes) -> None:
        super().__init__(url, asyncio.Event())
        self.answers = list(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.answers:
            return await super().serve(reader, writer)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(
            b"HTTP/1.1 " + self.answers.pop(0) + b"\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<h1>No</h1>"
        )
        return await writer.drain()


async def test_a_gateway_that_answers_for_the_api_is_asked_again(tmp_path: Path) -> None:
    refusals = b"502 Bad Gateway", b"503 Service Unavailable"
    async with serve_api(Settings(data_dir=tmp_path)) as api, Gateway(str(api.base_url), *refusals) as gateway:
        code, output, _ = await say(gateway.url, "What is 2 + 2?")
        assert (code, gateway.answers, output.splitlines()[-1]) == (0, [], "2 + 2 = 4")
        gateway.answers.append(b"413 Content Too Large")
        code, _, errors = await say(gateway.url, "hi")
        assert (code, errors.split(" (")[0].strip()) == (1, "413 Content Too Large")


@pytest.mark.parametrize(("reply", "status"), [("y", "completed"), ("", "refused"), (None, "refused")])
async def test_the_terminal_asks_before_a_tool_acts(tmp_path: Path, reply: str | None, status: str) -> None:
    async with serve_api(Settings(data_dir=tmp_path, approval_tools=("calculate",))) as api:
        lines = ["What is 2 + 2?"] if reply is None else ["What is 2 + 2?", reply, "Tell me a joke"]
        code, output, _ = await say(str(api.base_url), *lines)
        assert code == 0
        assert 'Allow calculate {"expression": "2 + 2"}? [y/N] ' in output
        thread = output.splitlines()[0].removeprefix("thread ")
        history = (await api.get(f"/api/threads/{thread}/messages")).json()["messages"]
    assert history[1]["tool_calls"][0]["status"] == status
    assert len(history) == (3 if reply is None else 5)


async def test_ctrl_c_refuses_what_is_asked(tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path, approval_tools=("calculate",))) as api, chat(str(api.base_url)) as process:
        assert process.stdin
        assert process.stdout
        thread = (await process.stdout.readline()).decode().split()[1]
        process.stdin.write(b"What is 2 + 2?\n")
        await asyncio.wait_for(process.stdout.readuntil(b"[y/N] "), 30)
        process.send_signal(signal.SIGINT)
        output, _ = await asyncio.wait_for(process.communicate(b"Tell me a joke\n"), 30)
        history = (await api.get(f"/api/threads/{thread}/messages")).json()["messages"]
    assert (process.returncode, history[1]["tool_calls"][0]["status"]) == (0, "refused")
    assert history[-1]["content"] in output.decode()


async def test_ctrl_c_stops_the_answer_and_not_the_chat(tmp_path: Path) -> None:
    pieces = 0

    async def wait() -> None:
        nonlocal pieces
        pieces += 1
        if pieces > 2:
            await asyncio.Event().wait()

    replies = (Reply(text="one two three", wait_for_piece=wait), Reply(text="again"))
    async with FakeModel(*replies) as model:
        settings = Settings(data_dir=tmp_path, openai_base_url=f"{model.url}/v1", openai_model="m")
        async with serve_api(settings) as api, chat(str(api.base_url)) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(b"hi\nanother\n")
            await process.stdout.readline()
            assert await asyncio.wait_for(process.stdout.readexactly(4), 30) == b"one "
            process.stdin.close()
            process.send_signal(signal.SIGINT)
            output = (await process.stdout.read()).decode().split()
            assert (await process.wait(), output) == (0, ["(stopped)", "again"])
