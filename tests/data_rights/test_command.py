"""``python -m data_rights``, as an operator runs it (audit M13)."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from data_rights.command import erase_owner
from errors import StoreUnavailable
from models import AUTHOR_ID, Erasure, Owner, new_id
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage
from tests.support.stores import SqliteBackend, begin, end, messages, talk

ROOT = Path(__file__).parents[2]
GROUP = Owner("bot:8a1c8b5e-0000-4000-8000-000000000001", "c" * 64)
ANN = Owner("contoso", "ann/web")


async def command(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command on a SQLite file; return its exit code, output and errors."""
    pipe = asyncio.subprocess.PIPE
    settings = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), **environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "data_rights", *arguments, cwd=ROOT, env=settings, stdout=pipe, stderr=pipe
    )
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def fill(folder: Path) -> str:
    """Store a thread of each owner; return the group's."""
    async with SqliteStore(folder / "chat.db") as store:
        threads = [await store.create_thread(owner, title=None, metadata={}) for owner in (GROUP, ANN)]
        for owner, thread in zip((GROUP, ANN), threads, strict=True):
            await talk(store, thread.id, owner=owner)
    return threads[0].id


async def test_a_groups_data_is_exported_and_erased_by_the_operator(tmp_path: Path) -> None:
    thread_id = await fill(tmp_path)
    owner = f"{GROUP.tenant}/{GROUP.user}"
    code, output, _ = await command(tmp_path, "export", "--owner", owner)
    lines = [json.loads(line) for line in output.splitlines()]
    assert (code, [line["type"] for line in lines]) == (0, ["owner", "thread", "message", "message", "turn", "end"])
    assert lines[1]["thread"]["id"] == thread_id
    file = tmp_path / "export.ndjson"
    code, output, _ = await command(tmp_path, "export", "--owner", f"{ANN.tenant}/{ANN.user}", "--output", str(file))
    assert (code, output, len(file.read_text().splitlines())) == (0, "", 6)
    assert os.name == "nt" or file.stat().st_mode & 0o777 == 0o600
    code, output, _ = await command(tmp_path, "erase", "--owner", owner)
    receipt = json.loads(output)
    assert (code, receipt["status"], receipt["threads"]) == (0, "completed", 1)
    async with SqliteStore(tmp_path / "chat.db") as store:
        assert await store.list_thread_ids(GROUP, limit=9, after=None) == []
        [kept] = await store.list_thread_ids(ANN, limit=9, after=None)
        assert len(await messages(store, kept, ANN)) == 2


async def test_what_one_person_wrote_is_exported_and_erased_by_the_operator(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "chat.db") as store:
        thread = await store.create_thread(GROUP, title=None, metadata={})
        for author in ("29:ann", "29:bob"):
            new = NewMessage(new_id("turn"), f"{author} asks", {AUTHOR_ID: author})
            await end(store, await begin(store, thread.id, new, owner=GROUP), content=f"to {author}")
    code, output, _ = await command(tmp_path, "export", "--author", "29:ann")
    first, *lines, last = [json.loads(line) for line in output.splitlines()]
    assert (code, first["type"], first["author_id"]) == (0, "author", "29:ann")
    assert [(line["type"], line["message"]["content"]) for line in lines] == [
        ("message", "29:ann asks"),
        ("message", "to 29:ann"),
    ]
    assert Owner(lines[0]["tenant"], lines[0]["user"]) == GROUP
    assert last == {"type": "end", "threads": 1, "messages": 2}
    code, output, _ = await command(tmp_path, "erase", "--author", "29:ann")
    assert (code, json.loads(output)) == (0, {"author_id": "29:ann", "messages": 2})
    code, output, _ = await command(tmp_path, "export", "--author", "29:ann")
    assert (code, [json.loads(line)["type"] for line in output.splitlines()]) == (0, ["author", "end"])
    async with SqliteStore(tmp_path / "chat.db") as store:
        kept = await messages(store, thread.id, GROUP)
    assert [message.content for message in kept if message.content] == ["29:bob asks", "to 29:bob"]
    assert "29:ann" not in await SqliteBackend(tmp_path / "chat.db").everything()


async def test_an_authors_export_that_fails_on_the_way_ends_with_an_error_and_the_exit_code(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "chat.db") as store:
        thread = await store.create_thread(GROUP, title=None, metadata={})
        new = NewMessage(new_id("turn"), "asks", {AUTHOR_ID: "29:ann"})
        await end(store, await begin(store, thread.id, new, owner=GROUP))
    with closing(sqlite3.connect(tmp_path / "chat.db")) as db, db:
        db.execute("UPDATE messages SET record = json_set(record, '$.status', 'no such status') WHERE seq = 2")
    file = tmp_path / "export.ndjson"
    code, _, _ = await command(tmp_path, "export", "--author", "29:ann", "--output", str(file))
    last = json.loads(file.read_text().splitlines()[-1])
    assert (code, last["type"], last["problem"]["type"]) == (1, "error", "internal_error")


async def test_what_cannot_be_done_is_said_and_told_by_the_exit_code(tmp_path: Path) -> None:
    code, _, errors = await command(tmp_path, "export", "--owner", "nobody")
    assert (code, "must be TENANT/USER" in errors) == (2, True)
    for whose in ("--owner=a/\udcff", "--author=\udcff"):
        code, _, errors = await command(tmp_path, "export", whose)
        assert (code, "must be printable UTF-8" in errors) == (2, True)
    assert (await command(tmp_path, "forget", "--owner", "a/b"))[0] == 2
    code, _, errors = await command(tmp_path, "export", "--owner", "a/b", API_KEYS="secret")
    assert (code, "API_KEYS" in errors, "secret" in errors) == (2, True, False)
    code, _, errors = await command(tmp_path / "file" / "x", "export", "--owner", "a/b", "--output", str(tmp_path / "no" / "x"))
    assert (code, errors.startswith("Not done")) == (1, True)
    code, _, errors = await command(
        tmp_path, "erase", "--owner", "a/b", COSMOS_ENDPOINT="http://127.0.0.1:9", COSMOS_KEY="eA=="
    )
    assert code == 1
    assert "Not done: " in errors


async def test_a_store_that_fails_for_a_moment_does_not_end_the_erasure(tmp_path: Path) -> None:
    class Failing(SqliteStore):
        failures = 0

        async def get_erasure(self, owner: Owner, erasure_id: str) -> Erasure:
            self.failures += 1
            if self.failures < 3:
                raise StoreUnavailable
            return await super().get_erasure(owner, erasure_id)

    await fill(tmp_path)
    async with Failing(tmp_path / "chat.db") as store:
        receipt = await erase_owner(store, GROUP, poll_seconds=0.001)
        assert (receipt.status, receipt.threads, store.failures >= 3) == ("completed", 1, True)
