"""``make dev``: what changes is there at once, what is wrong is told, and `.env` is read there alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import cast

import httpx2
import pytest

from dev import Reloader, Versions, versions
from settings import SettingsError, load_settings
from settings.assistant import FILE
from settings.env_file import read_env_file
from tests.support.assistant_folder import FOLDER, HARBOUR
from tests.support.local import ROOT, address_in, read_banner, started

MODEL = "OPENAI_BASE_URL=http://localhost:1/v1\nOPENAI_MODEL={model}\nPORT=1\n"


async def until_told(process: asyncio.subprocess.Process, words: str) -> None:
    """Wait for these words in what the program tells the developer."""
    assert process.stderr
    async with asyncio.timeout(30):
        while words not in (await process.stderr.readline()).decode():
            pass


async def test_what_changes_is_there_at_once(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "mine")
    file, env_file = folder / FILE, tmp_path / ".env"
    text = file.read_text()
    env_file.write_text(MODEL.format(model="one"))
    environment = {"DATA_DIR": str(tmp_path / "data"), "ASSISTANT_DIR": str(folder)}
    async with started("dev.py", environment, folder=tmp_path, stderr=asyncio.subprocess.PIPE) as process:
        banner = await read_banner(process)
        assert HARBOUR.name in banner
        assert "one on http://localhost:1/v1" in banner
        file.write_text(text.replace(HARBOUR.name, "Mill desk"))
        await until_told(process, f"Changed: {file}")
        changed = await read_banner(process)
        assert "Mill desk" in changed
        async with httpx2.AsyncClient(base_url=address_in(changed), timeout=30) as client:
            assert "<title>Mill desk" in (await client.get("/")).text
        file.write_text(text.replace("calculator", "no_such_tool"))
        await until_told(process, "there is no module tools.no_such_tool")
        await until_told(process, "the next change starts it anew")
        file.write_text(text)
        assert HARBOUR.name in await read_banner(process)
        env_file.write_text(MODEL.format(model="two"))
        mended = await read_banner(process)
        assert "two on http://localhost:1/v1" in mended
        assert address_in(banner) == address_in(changed) == address_in(mended)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0


@pytest.mark.parametrize(
    ("environment", "told"),
    [({"HOST": "0.0.0.0"}, "DEV_MODE: "), ({"PORT": "none"}, "PORT: "), ({"HOST": "192.0.2.1"}, "DEV_MODE: ")],  # noqa: S104
)
async def test_settings_that_cannot_be_used_are_told(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, ROOT / "dev.py"), cwd=tmp_path, env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert told in errors.decode()
    assert "Traceback" not in errors.decode()


class Process:
    """Stands for the process that serves; with ``is_stuck`` only killing ends it."""

    def __init__(self, events: list[str], *, is_stuck: bool) -> None:
        self._events = events
        self._is_stuck = is_stuck
        self._is_alive = True
        events.append("start")

    def is_alive(self) -> bool:
        return self._is_alive

    def terminate(self) -> None:
        self._is_alive = self._is_stuck
        self._events.append("terminate")

    def kill(self) -> None:
        self._is_alive = False
        self._events.append("kill")

    def join(self, timeout: float | None = None) -> None:
        assert timeout is not None or not self._is_alive


@pytest.mark.parametrize("is_stuck", [False, True])
def test_a_process_that_does_not_end_is_killed(is_stuck: bool, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[str] = []
    stop = threading.Event()
    looks: list[Versions] = [{Path("b"): (1, 1)}, {Path("b"): (1, 1)}, {Path("b"): (2, 1), Path("a"): (1, 1)}]

    def look() -> Versions:
        found = looks.pop(0)
        if not looks:
            stop.set()
        return found

    start = cast("Callable[[], SpawnProcess]", lambda: Process(events, is_stuck=is_stuck))
    Reloader(start, look, stop).run(interval=0)
    end = ["terminate", "kill"] if is_stuck else ["terminate"]
    assert events == ["start", *end, "start", *end]
    assert capsys.readouterr().err == "Changed: a, b\n"


def test_only_what_the_api_is_made_of_is_watched(tmp_path: Path) -> None:
    counted = {"local.py", "web/page.css", "assistant/articles/fees.md", ".env"}
    for name in (
        *counted,
        "tests/test_a.py",
        "node_modules/a/a.js",
        ".venv/a.py",
        "a/__pycache__/a.pyc",
        ".data/chat.db",
        "x.db",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    found = versions([tmp_path], [tmp_path / ".env", tmp_path / "missing"])
    assert {str(path.relative_to(tmp_path)) for path in found} == counted


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of variables, and an environment that forgets them afterwards."""
    for name in ("A_SECRET", "A_PLACE", "AN_EMPTY_ONE"):
        # So that what is set meanwhile is unset again.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    file = tmp_path / ".env"
    file.write_text("A_SECRET='${A_PLACE}' # mine\nexport A_PLACE=file\nAN_EMPTY_ONE=\n")
    return file


@pytest.mark.parametrize("dev_mode", ["true", "1"])
def test_what_the_environment_sets_goes_before_the_file(env_file: Path, monkeypatch: pytest.MonkeyPatch, dev_mode: str) -> None:
    monkeypatch.setenv("DEV_MODE", dev_mode)
    monkeypatch.setenv("A_PLACE", "")
    read_env_file(env_file)
    assert [os.environ[name] for name in ("A_SECRET", "A_PLACE", "AN_EMPTY_ONE")] == ["${A_PLACE}", "", ""]
    read_env_file(env_file.with_name("missing"))


@pytest.mark.parametrize("dev_mode", ["", "false", "perhaps"])
def test_without_dev_mode_the_file_is_not_read(env_file: Path, monkeypatch: pytest.MonkeyPatch, dev_mode: str) -> None:
    monkeypatch.setenv("DEV_MODE", dev_mode)
    read_env_file(env_file)
    assert "A_SECRET" not in os.environ


def test_a_file_that_is_no_text_is_named(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEV_MODE", "true")
    env_file.write_bytes(b"A_SECRET=\xff\n")
    for read in (read_env_file, load_settings):
        with pytest.raises(SettingsError, match=r"\.env: is no text"):
            read(env_file)


@pytest.mark.parametrize("line", ["A_SECRET=a\0b", "'A_SECRET=sesame'"])
def test_what_cannot_be_a_variable_is_named_and_not_shown(env_file: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("DEV_MODE", "true")
    env_file.write_text(line)
    with pytest.raises(SettingsError, match=r"\.env: A_SECRET: ") as refused:
        read_env_file(env_file)
    assert "sesame" not in str(refused.value)
