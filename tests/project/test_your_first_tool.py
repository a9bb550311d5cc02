"""The tutorial, word for word: its files are written, its tests run, its tool answers on a started server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import httpx2
import pytest

from tests.support.local import ROOT, address_in, running

DOC = (ROOT / "docs/your-first-tool.md").read_text()
README = (ROOT / "README.md").read_text()
FILES = dict(re.findall(r"^```python (\S+/\S+)\n(.*?)^```$", README + DOC, re.MULTILINE | re.DOTALL))
COPIED = ("tools", "tests", "assistant")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The repository with what the tutorial adds."""
    folder = tmp_path / "project"
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__", "programs", "snapshots"))
        elif path.is_file():
            # Not linked: a program finds its modules beside the file that it really is.
            shutil.copy(path, folder)
        elif not path.name.startswith(".") and path.name != "node_modules":
            (folder / path.name).symlink_to(path)
    for name, code in FILES.items():
        (folder / name).write_text(code)
    assert re.search(r'^```toml assistant/assistant.toml\ntools = \[.*, "vouchers"\]\n```$', DOC, re.MULTILINE)
    file = folder / "assistant" / "assistant.toml"
    file.write_text(re.sub(r"^tools = \[", 'tools = ["vouchers", "shipping", ', file.read_text(), flags=re.MULTILINE))
    return folder


async def run(project: Path, *arguments: str) -> tuple[int | None, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_", "ASSISTANT"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", *arguments),
        cwd=project,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return process.returncode, told.decode()


async def test_its_tests_pass(project: Path) -> None:
    assert len(FILES) == 7
    status, told = await run(project, "pytest", "-q", "-p", "no:cacheprovider", *(name for name in FILES if "test_" in name))
    assert status == 0, told
    assert "13 passed" in told


async def test_its_code_is_as_our_own(project: Path) -> None:
    for checker in (("ruff", "check", "--no-cache"), ("ruff", "format", "--check", "--no-cache")):
        status, told = await run(project, *checker, *FILES)
        assert status == 0, told


async def test_its_questions_are_answered_as_it_says(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASSISTANT_DIR")
    monkeypatch.setenv("VOUCHER_KEY", "sesame")
    asked = re.findall(r"^call check_voucher .*$", DOC, re.MULTILINE) + re.findall(r"Write `(.*?)`", DOC)
    asked += re.findall(r"`(call shipping_cost .*?)`", README)
    async with running(tmp_path, project) as (_, banner):
        assert "  tools    check_voucher, shipping_cost, " in banner
        async with httpx2.AsyncClient(base_url=address_in(banner), timeout=30) as client:
            answers = [
                (await client.post("/api/invoke", json={"user_input": question})).json()["final_answer"] for question in asked
            ]
    worth = "V25-99c17a43 is worth 25 €."
    assert answers == [worth, "That did not work: this code is not one of ours.", worth, "shipping_cost: 11.8"]


async def test_without_its_secret_it_does_not_start(project: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "local.py"),
        cwd=project,
        env={**os.environ, "ASSISTANT_DIR": str(project / "assistant")},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 2
    assert "tool vouchers: VOUCHER_KEY: Field required" in told.decode()
