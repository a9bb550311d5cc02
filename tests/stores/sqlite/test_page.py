"""The commands of docs/sqlite.md do what the page says, on a file that is in use."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from models import Owner
from settings import Settings
from stores.sqlite.store import SqliteStore
from tests.support.server import serve_api
from tests.support.stores import talk

PAGE = (Path(__file__).parents[3] / "docs" / "sqlite.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
pytestmark = pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the shell sqlite3")


async def shell(section: str, number: int, folder: Path, *leave_out: str) -> str:
    """Run a block of a section in the app's folder, but for lines that begin so; return what it printed."""
    block = re.findall(r"```sh\n(.*?)```", SECTIONS[section], re.DOTALL)[number]
    lines = [line for line in block.splitlines() if not line.startswith(leave_out)]
    script = "set -e\n" + "\n".join(lines).replace(".venv/bin/python", sys.executable)
    pipe = asyncio.subprocess.PIPE
    done = await asyncio.create_subprocess_exec("bash", "-c", script, cwd=folder, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    printed = (await done.communicate())[0].decode()
    assert done.returncode == 0, printed
    return printed


def count(file: Path) -> int:
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("SELECT count(*) FROM messages").fetchone()[0])


async def test_a_backup_of_a_file_in_use_is_restored(tmp_path: Path) -> None:
    file = tmp_path / ".data" / "chat.db"
    async with SqliteStore(file) as store:
        thread = await store.create_thread(Owner("contoso", "ann"), title=None, metadata={})
        await talk(store, thread.id, owner=Owner("contoso", "ann"))
        assert (tmp_path / ".data" / "chat.db-wal").stat().st_size > 0
        assert (await shell("Backup while it runs", 0, tmp_path)).splitlines() == ["ok"]
        await shell("Backup while it runs", 1, tmp_path)
        assert "ok" in await shell("Where the file is", 0, tmp_path, ".venv")
        await talk(store, thread.id, owner=Owner("contoso", "ann"))
    copies = list((tmp_path / "backups").iterdir())
    assert [count(copy) for copy in copies] == [2, 2]
    dated = next(copy for copy in copies if copy.name != "chat.db")
    assert dated.stat().st_mode & 0o077 == 0
    dated.rename(tmp_path / "backups" / "chat-2026-11-27.db")
    await shell("Restore", 0, tmp_path, "make", "curl")
    async with serve_api(Settings(data_dir=tmp_path / ".data")) as api:
        assert (await api.get("/api/ready")).json()["status"] == "ready"
    assert (count(file), count(tmp_path / ".data.before" / "chat.db")) == (2, 4)


async def test_what_was_erased_after_the_backup_is_found(tmp_path: Path) -> None:
    owner = Owner("contoso", "ann")
    for folder in (".data", ".data.before"):
        async with SqliteStore(tmp_path / folder / "chat.db") as store:
            await store.create_thread(owner, title=None, metadata={})
            if folder == ".data.before":
                erasure = await store.begin_erasure(owner)
                while await store.erase_threads(owner, erasure.id, limit=10):
                    pass
                await store.complete_erasure(owner, erasure.id)
    receipt, owned = (await shell("Restore", 1, tmp_path, ".venv")).splitlines()
    assert receipt.split("|")[1:3] == [owner.hash[:12], "completed"]
    assert owned == f"contoso|ann|{owner.hash[:12]}"
