"""What only the SQLite store has: its file, its schema, its locks, and crashes of its process."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import sys
from itertools import groupby
from pathlib import Path

import pytest

import stores.sqlite.database
from errors import StoreMisconfigured, StoreUnavailable
from models import Owner
from stores.sqlite.database import SqliteDatabase
from stores.sqlite.store import SqliteStore
from tests.support.calls import watch
from tests.support.stores import SqliteBackend, ask, begin

OWNER = Owner("acme", "ann")
ROOT = Path(__file__).parents[3]


STATES = {
    "turn": [[], [[1, "interrupted"]], [[1, "completed"], [2, "completed"]]],
    "continuation": [
        [[1, "paused"], [2, "paused open"]],
        [[1, "interrupted"], [2, "paused unknown"]],
        [[1, "interrupted unknown"], [2, "paused unknown"]],
        [[1, "completed"], [2, "paused completed"], [3, "completed"]],
    ],
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", STATES)
async def test_a_kill_between_any_two_statements_leaves_all_or_nothing(tmp_path: Path, kind: str) -> None:
    command = (sys.executable, "-m", "tests.support.sqlite_crasher", str(tmp_path / "chat.db"), kind)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    runs = [json.loads(line) for line in output.splitlines()]
    assert len(runs) > 10
    seen = [run["found"] for run in runs]
    # One after the other, none left out, and nothing between them.
    assert [found for found, _ in groupby(seen)] == STATES[kind]
    assert [run["killed"] for run in runs] == [True] * (len(runs) - 1) + [False]


async def test_the_file_and_its_folder_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "chat.db"
    async with SqliteStore(path) as store:
        await store.create_thread(OWNER, title=None, metadata={})
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA user_version").fetchone() == (len(stores.sqlite.database.MIGRATIONS),)
    db.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_all(*paths: Path) -> None:
    for path in paths:
        path.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
async def test_nobody_else_reads_the_folder_the_file_or_its_logs(tmp_path: Path) -> None:
    """Audit L2."""
    path = tmp_path / ".data" / "chat.db"
    umask = os.umask(0o022)
    try:
        async with SqliteStore(path) as store:
            await store.create_thread(OWNER, title=None, metadata={})
            modes = {each.name: mode(each) for each in (path.parent, *path.parent.iterdir())}
    finally:
        os.umask(umask)
    assert modes == {".data": 0o700, "chat.db": 0o600, "chat.db-wal": 0o600, "chat.db-shm": 0o600}


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
async def test_a_file_of_an_earlier_release_is_closed_to_others_and_its_folder_is_left_as_it_is(tmp_path: Path) -> None:
    """Audit L2."""
    path = tmp_path / "chat.db"
    async with SqliteStore(path) as first:
        await first.create_thread(OWNER, title=None, metadata={})
        files = [path, *(path.with_name(f"chat.db-{log}") for log in ("wal", "shm"))]
        open_to_all(tmp_path, *files)
        async with SqliteStore(path):
            assert [mode(file) for file in files] == [0o600] * 3
    assert mode(tmp_path) == 0o755


async def test_many_stores_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "chat.db") for _ in range(8)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    await asyncio.gather(*(store.create_thread(OWNER, title=None, metadata={}) for store in stores))
    page = await stores[0].list_threads(OWNER, status=None, limit=100, cursor=None)
    assert len(page.items) == 8
    await asyncio.gather(*(store.__aexit__(None, None, None) for store in stores))


async def test_a_newer_schema_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "chat.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreMisconfigured):
        async with SqliteStore(path):
            pass
    assert "its schema is version 99, newer than this program's" in caplog.text


async def test_what_is_no_database_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "chat.db"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreMisconfigured):
        async with SqliteStore(path):
            pass
    assert str(path) in caplog.text


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreMisconfigured):
        async with SqliteStore(tmp_path / "file" / "chat.db"):
            pass


async def test_a_locked_file_is_unavailable_and_does_not_block_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    async with SqliteStore(path, lock_timeout_seconds=0.05) as store, SqliteStore(path) as patient:
        thread = await store.create_thread(OWNER, title=None, metadata={})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(patient.create_thread(OWNER, title=None, metadata={}))
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await store.create_thread(OWNER, title=None, metadata={})
        assert await store.get_thread(OWNER, thread.id) == thread
        # Who waits for the lock gets it from the loop, which would not come to this if it waited, too.
        assert not waiting.done()
        other.execute("ROLLBACK")
        other.close()
        await waiting
        await store.create_thread(OWNER, title=None, metadata={})


async def test_a_process_that_stops_while_a_turn_begins_leaves_no_lease_behind(tmp_path: Path) -> None:
    """Audit M3."""
    async with SqliteStore(tmp_path / "chat.db") as store:
        thread = await store.create_thread(OWNER, title=None, metadata={})
        other = sqlite3.connect(tmp_path / "chat.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        beginning = asyncio.create_task(store.begin_turn(OWNER, thread.id, ask(), lease_seconds=30, history_limit=9))
        await asyncio.sleep(0)
        while store._database._executor._work_queue.qsize():  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        other.execute("ROLLBACK")
        other.close()
        assert (await store.get_thread(OWNER, thread.id)).message_count == 0
        await begin(store, thread.id, owner=OWNER)


def reading(path: Path) -> sqlite3.Connection:
    """Return another process's connection in the middle of a transaction, which keeps the log from being emptied."""
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM threads").fetchall()
    return reader


async def test_an_erasure_ends_only_when_the_log_could_be_emptied(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "chat.db") as store:
        await store.create_thread(OWNER, title="Kilimanjaro", metadata={})
        reader = reading(tmp_path / "chat.db")
        erasure = await store.begin_erasure(OWNER)
        assert await store.erase_threads(OWNER, erasure.id, limit=1)
        async with asyncio.timeout(2):
            assert not await store.complete_erasure(OWNER, erasure.id)
        assert (await store.get_erasure(OWNER, erasure.id)).status == "running"
        reader.close()
        assert await store.complete_erasure(OWNER, erasure.id)
    assert "Kilimanjaro" not in await SqliteBackend(tmp_path / "chat.db").everything()


async def log_of(path: Path) -> str:
    return await asyncio.to_thread(path.with_name("chat.db-wal").read_text, "latin-1")


async def test_a_deleted_threads_text_leaves_the_write_ahead_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audit L8."""
    path, emptied = tmp_path / "chat.db", watch(monkeypatch, SqliteDatabase, "empty_log")
    async with SqliteStore(path, log_pause_seconds=0.01) as store:
        thread = await store.create_thread(OWNER, title="Kilimanjaro", metadata={})
        assert "Kilimanjaro" in await log_of(path)
        await store.delete_thread(OWNER, thread.id)
        await emptied.returned(True)
        assert "Kilimanjaro" not in await log_of(path)


async def test_a_write_ahead_log_that_is_in_use_is_emptied_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audit L8."""
    path, emptied = tmp_path / "chat.db", watch(monkeypatch, SqliteDatabase, "empty_log")
    async with SqliteStore(path, log_pause_seconds=0.01) as store:
        thread = await store.create_thread(OWNER, title="Kilimanjaro", metadata={})
        reader = reading(path)
        await store.delete_thread(OWNER, thread.id)
        await emptied.returned(False)
        assert "Kilimanjaro" in await log_of(path)
        reader.close()
        await emptied.returned(True)
        assert "Kilimanjaro" not in await log_of(path)


async def test_a_store_that_closes_tries_once_more_to_empty_the_write_ahead_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audit L8."""
    path = tmp_path / "chat.db"
    # Another process, as it were: the last connection to close would take the log away.
    async with SqliteStore(path):
        for in_the_way in (False, True):
            emptied = watch(monkeypatch, SqliteDatabase, "empty_log")
            async with SqliteStore(path, log_pause_seconds=3600) as store:
                first, second = [await store.create_thread(OWNER, title="Kilimanjaro", metadata={}) for _ in range(2)]
                await store.delete_thread(OWNER, first.id)
                await emptied.returned(True)
                reader = reading(path)
                await store.delete_thread(OWNER, second.id)
                if not in_the_way:
                    reader.close()
            assert (await log_of(path) == "") is not in_the_way
            assert ("could not be emptied" in caplog.text) is in_the_way
            reader.close()


async def test_a_database_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    for version in range(1, len(stores.sqlite.database.MIGRATIONS)):
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as db:
            for script in stores.sqlite.database.MIGRATIONS[:version]:
                db.executescript(script)
            db.execute(f"PRAGMA user_version = {version}")
        db.close()
        async with SqliteStore(path) as store:
            thread = await store.create_thread(OWNER, title=None, metadata={})
            assert await store.list_thread_ids(OWNER, limit=1, after=None) == [thread.id]
            await store.begin_erasure(OWNER)
