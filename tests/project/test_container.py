"""The container without Docker: its file is in order, and what it copies is enough to serve. CI builds and runs it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import httpx2
import pytest

from identity.api_keys import make_key
from tests.programs.bench.processes import free_port, until_listening

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = re.findall(r"^([A-Z]+) (.*)$", re.sub(r" *\\\n *", " ", DOCKERFILE), re.MULTILINE)
HADOLINT = Path(sys.executable).with_name("hadolint")


def of(kind: str) -> list[str]:
    """Return what follows an instruction, each time that it is there."""
    return [rest for name, rest in INSTRUCTIONS if name == kind]


def is_sent(path: str) -> bool:
    """Tell whether a file gets past .dockerignore: the last pattern that fits it, or a folder that it is in, decides."""
    sent = True
    parts = path.split("/")
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        anywhere = pattern.startswith("**/")
        pattern = pattern.removeprefix("**/")
        assert "**" not in pattern
        depth = pattern.count("/") + 1
        starts = range(len(parts)) if anywhere else (0,)
        if any(fnmatchcase("/".join(parts[start : start + depth]), pattern) for start in starts):
            sent = line.startswith("!")
    return sent


def checkout() -> list[str]:
    """Return the files of the checkout, new ones included."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout: what belongs to it is unknown")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The app's folder as it is in the container."""
    folder = tmp_path / "app"
    for path in filter(is_sent, checkout()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return folder


def environment(data_dir: Path, port: int) -> dict[str, str]:
    """Return the container's own environment, with this machine's Python instead of its."""
    given = dict(re.findall(r"(\w+)=(\S+)", " ".join(of("ENV"))))
    assert (given["HOST"], given["PORT"], given["DATA_DIR"]) == ("0.0.0.0", "8080", "/data")  # noqa: S104 - it is meant to
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**given, "PATH": path, "PORT": str(port), "DATA_DIR": str(data_dir)}


@asynccontextmanager
async def running(image: Path, environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the container's command in its folder."""
    process = await asyncio.create_subprocess_exec(
        *json.loads(of("CMD")[-1]), cwd=image, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def test_the_file_has_no_faults_that_a_linter_knows() -> None:
    checked = subprocess.run([HADOLINT, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout) == (0, "")
    bad = subprocess.run([HADOLINT, "-"], input="FROM python\nRUN cd /app\n", capture_output=True, text=True, timeout=60)
    assert bad.returncode == 1
    assert "DL3006" in bad.stdout


def test_it_has_two_stages_on_the_version_that_azure_runs_and_no_root() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    assert [base.split()[0] for base in of("FROM")] == [f"python:{version}-slim"] * 2
    assert of("USER") == ["10001"]
    assert INSTRUCTIONS.index(("USER", "10001")) > max(index for index, (name, _) in enumerate(INSTRUCTIONS) if name == "RUN")


def test_everything_that_is_copied_is_there_and_sent() -> None:
    files = checkout()
    for copied in of("COPY"):
        *sources, _ = copied.split()
        if sources[0].startswith("--from="):
            continue
        for source in sources:
            assert source == "." or (source in files and is_sent(source)), source


def test_neither_secrets_nor_what_only_developers_need_is_sent() -> None:
    sent = set(filter(is_sent, checkout()))
    assert {
        "local.py",
        "api/app.py",
        "assistant/instructions.md",
        "assistant/assistant.toml",
        "requirements.txt",
        "requirements/local.txt",
    } < sent
    assert {path for path in sent if path.startswith("assistant/articles/")}
    assert {path.split("/")[0] for path in sent}.isdisjoint({"tests", "docs", "infra", "scripts", ".github"})
    kept = (".env", ".env.local", "local.settings.json", ".data/chat.db", ".git/config", ".azure/dev/.env", "api/a.pyc")
    assert not any(map(is_sent, kept))


async def test_it_serves_and_its_health_check_can_tell(image: Path, tmp_path: Path) -> None:
    key, entry = make_key("try", "test", ["chat"], None)
    port = free_port()
    own = environment(tmp_path, port)
    check: list[str] = json.loads(of("HEALTHCHECK")[0].partition("CMD ")[2])

    async def is_healthy() -> bool:
        process = await asyncio.create_subprocess_exec(*check, env=own, stderr=asyncio.subprocess.DEVNULL)
        return await process.wait() == 0

    assert not await is_healthy()
    async with running(image, {**own, "API_KEYS": f"[{entry.model_dump_json()}]"}):
        await until_listening(port)
        assert await is_healthy()
        headers = {"X-API-Key": key}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as api:
            thread = (await api.post("/api/threads", json={})).headers["location"]
            answer = await api.post(f"{thread}/messages", json={"content": "What is 85 * 0.15?"})
            assert [call["tool"] for call in answer.json()["tool_calls"]] == ["calculate"]
            assert (await api.get("/")).status_code == 200


async def test_it_does_not_start_open_to_everybody(image: Path, tmp_path: Path) -> None:
    async with running(image, environment(tmp_path, free_port())) as process:
        _, told = await process.communicate()
    assert process.returncode == 2
    assert b"set API_KEYS or ENTRA_TENANT_IDS" in told
