"""The caller's data as a whole, as its owner meets it: export, erasure, retention."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import time_machine

from data_rights import eraser, export
from data_rights.lines import EXPORT_LINE_ADAPTER
from data_rights.retention import Retention
from errors import StoreUnavailable
from identity.authenticator import LOCAL_OWNER
from models import utcnow
from settings import Settings
from stores.sqlite.store import SqliteStore
from tests.support.calls import Calls, watch
from tests.support.server import serve_api
from tests.support.stores import SqliteBackend

Line = dict[str, Any]


async def exported(api: httpx2.AsyncClient) -> list[Line]:
    response = await api.get("/api/export")
    assert response.status_code == 200
    assert response.text.endswith("\n")
    return [json.loads(line) for line in response.text.splitlines()]


async def ask(api: httpx2.AsyncClient, content: str, title: str = "Trip") -> str:
    """Ask in a new thread; return the thread's address."""
    path = str((await api.post("/api/threads", json={"title": title})).headers["location"])
    assert (await api.post(f"{path}/messages", json={"content": content})).status_code == 200
    return path


@pytest.fixture
def completions(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return watch(monkeypatch, SqliteStore, "complete_erasure")


async def receipt(completions: Calls, api: httpx2.AsyncClient, path: str) -> Line:
    """Return the receipt of an erasure once that has ended."""
    await completions.returned(True)
    return dict((await api.get(path)).json())


# Export


async def test_an_export_has_everything_as_the_api_shows_it(api: httpx2.AsyncClient) -> None:
    paths = [await ask(api, "What is 2 + 2?"), await ask(api, "Größe? 日本\n👋")]
    paths.append((await api.post("/api/threads", json={})).headers["location"])
    expected: list[Line] = []
    for path in sorted(paths):
        expected.append({"type": "thread", "thread": (await api.get(path)).json()})
        messages = (await api.get(f"{path}/messages")).json()["messages"]
        expected += [{"type": "message", "message": message} for message in messages]
        for message in messages[1:]:
            turn = (await api.get(f"{path}/turns/{message['turn_id']}")).json()
            assert turn.pop("message") == message
            expected.append({"type": "turn", "turn": turn})
    whole = await exported(api)
    assert [json.loads(EXPORT_LINE_ADAPTER.validate_python(line).to_json()) for line in whole] == whole
    first, *lines, last = whole
    assert {key: first[key] for key in ("type", "tenant", "user")} == {"type": "owner", "tenant": "local", "user": "local"}
    assert lines == expected
    assert last == {"type": "end", "threads": 3, "messages": 4}


async def test_an_export_of_nothing(api: httpx2.AsyncClient) -> None:
    response = await api.get("/api/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["content-disposition"] == 'attachment; filename="export.ndjson"'
    assert response.headers["cache-control"] == "no-store"
    assert [json.loads(line)["type"] for line in response.text.splitlines()] == ["owner", "end"]


async def test_an_export_of_thousands_of_messages_takes_constant_memory(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path / "chat.db")
    async with backend.new() as store:
        thread = await store.create_thread(LOCAL_OWNER, title="long", metadata={})
        await backend.seed(thread.id, 30_000)
        size = messages = 0
        tracemalloc.start()
        async for chunk in await export.export_lines(store, LOCAL_OWNER, None):
            size += len(chunk)
            messages += chunk.count(b'{"type":"message"')
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert messages == 30_000
    assert size > 8_000_000
    # One of these is pydantic's own cache of strings.
    assert peak < 2_000_000


async def test_an_export_of_many_threads_while_they_change(api: httpx2.AsyncClient, settings: Settings) -> None:
    async with SqliteStore(settings.data_dir / "chat.db") as store:
        ids = [(await store.create_thread(LOCAL_OWNER, title=str(n), metadata={})).id for n in range(250)]
        seen: list[str] = []
        gone = max(ids)
        async with api.stream("GET", "/api/export") as response:
            async for line in response.aiter_lines():
                record = json.loads(line)
                if record["type"] == "owner":
                    await asyncio.gather(*(store.update_thread(LOCAL_OWNER, id, {"title": "changed"}) for id in ids[:20]))
                    await store.delete_thread(LOCAL_OWNER, gone)
                if record["type"] == "thread":
                    seen.append(record["thread"]["id"])
        assert set(seen) - {gone} == set(ids) - {gone}
        assert len(seen) == len(set(seen))
        assert record["type"] == "end"


async def test_an_error_on_the_way_is_the_last_line(api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await ask(api, "What is 2 + 2?")
    for error, type in ((StoreUnavailable(), "store_unavailable"), (RuntimeError("a secret"), "internal_error")):

        async def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(SqliteStore, "list_turns", fail)
        lines = await exported(api)
        assert [line["type"] for line in lines] == ["owner", "thread", "message", "message", "error"]
        assert lines[-1]["problem"]["type"] == type
        assert lines[-1]["problem"]["request_id"]
        assert "secret" not in str(lines)


async def test_an_export_that_cannot_begin_is_a_problem(api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(SqliteStore, "list_thread_ids", fail)
    response = await api.get("/api/export")
    assert (response.status_code, response.json()["type"]) == (503, "store_unavailable")
    assert response.headers["content-type"] == "application/problem+json"


# Erasure


async def test_everything_is_erased(api: httpx2.AsyncClient, completions: Calls, tmp_path: Path) -> None:
    paths = [await ask(api, "How tall is Kilimanjaro?", "Zanzibar") for _ in range(3)]
    response = await api.delete("/api/data")
    assert response.status_code == 202
    begun = response.json()
    assert set(begun) == {"id", "status", "threads", "started_at", "ended_at"}
    assert response.headers["location"] == f"/api/data/erasures/{begun['id']}"
    ended = await receipt(completions, api, response.headers["location"])
    assert (ended["id"], ended["status"], ended["threads"]) == (begun["id"], "completed", 3)
    assert ended["started_at"] <= ended["ended_at"]
    assert (await api.get("/api/threads")).json()["threads"] == []
    assert (await api.get(paths[0])).status_code == 404
    assert len(await exported(api)) == 2
    stored = await SqliteBackend(tmp_path / "chat.db").everything()
    assert [word for word in ("Kilimanjaro", "Zanzibar", paths[0].rpartition("/")[2]) if word in stored] == []
    assert (await api.delete("/api/data")).json()["id"] != begun["id"]


async def test_a_turn_that_runs_is_stopped_and_leaves_nothing(
    settings: Settings, completions: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    saves = watch(monkeypatch, SqliteStore, "save_events")
    async with serve_api(settings) as api:
        path = (await api.post("/api/threads", json={})).headers["location"]
        headers = {"Prefer": "respond-async"}
        await api.post(f"{path}/messages", json={"content": "How tall is Kilimanjaro?"}, headers=headers)
        ended = await receipt(completions, api, (await api.delete("/api/data")).headers["location"])
        assert ended["status"] == "completed"
        before = len(saves.outcomes)
    # The turn's events are stored in the background, at the latest when the process stops.
    assert len(saves.outcomes) > before
    async with SqliteStore(tmp_path / "chat.db") as store:
        tables = ("threads", "messages", "turns", "events", "idempotency_keys")
        count = "SELECT " + " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)  # noqa: S608
        assert await store._database.read(lambda db: db.execute(count).fetchone()[0]) == 0


async def test_an_erasure_survives_restarts(settings: Settings, completions: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait(*_: object) -> bool:
        await asyncio.Event().wait()
        return False

    async with serve_api(settings) as api:
        await ask(api, "What is 2 + 2?")
        with monkeypatch.context() as patched:
            patched.setattr(eraser.Eraser, "_try_to_complete", wait)
            path = (await api.delete("/api/data")).headers["location"]
            assert (await api.delete("/api/data")).headers["location"] == path
            assert (await api.get(path)).json()["status"] == "running"
    # As if the first process had been gone for a while.
    with time_machine.travel(utcnow() + timedelta(minutes=2), tick=True):
        async with serve_api(settings) as api:
            assert (await receipt(completions, api, path))["threads"] == 1
            assert (await api.get("/api/threads")).json()["threads"] == []


@pytest.mark.parametrize(
    ("id", "status", "type"),
    [("erasure_" + "0" * 32, 404, "erasure_not_found"), ("erasure", 404, "erasure_not_found")],
)
async def test_erasures_that_are_not_there(api: httpx2.AsyncClient, id: str, status: int, type: str) -> None:
    response = await api.get(f"/api/data/erasures/{id}")
    assert (response.status_code, response.json()["type"]) == (status, type)


# Retention


@pytest.fixture
async def old_thread(tmp_path: Path) -> AsyncIterator[str]:
    async with SqliteStore(tmp_path / "chat.db") as store:
        with time_machine.travel(utcnow() - timedelta(days=31)):
            thread = await store.create_thread(LOCAL_OWNER, title="old", metadata={})
        yield thread.id


@pytest.mark.parametrize(("days", "status"), [(30, 404), (0, 200), (40, 200)])
async def test_idle_threads_go_in_the_background(
    old_thread: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, status: int
) -> None:
    sweeps = watch(monkeypatch, Retention, "sweep")
    async with serve_api(Settings(data_dir=tmp_path, retention_days=days)) as api:
        if days:
            await sweeps.at_least(1)
        assert (await api.get(f"/api/threads/{old_thread}")).status_code == status
