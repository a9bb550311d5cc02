"""What earlier versions have stored (``tests/data``) is read, answered, gone on with and erased by this one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.version import VERSION
from cosmos_store import CosmosStore
from settings import Settings
from tests.data.make import ANN, API_KEYS, DATABASE, FOLDER, KEYS, SESSION, TIP, ScriptedModel, tell, version_of
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.support.local import ROOT
from tests.support.server import serve_api

VERSIONS = sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir() and folder.name[0].isdigit())
Data = tuple[httpx2.AsyncClient, Any]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@asynccontextmanager
async def opened(
    folder: Path, kind: str, tmp_path: Path, model: ScriptedModel
) -> AsyncIterator[tuple[httpx2.AsyncClient, Any]]:
    """Serve the API on a copy of what is in a folder; yield a client, and what the version itself has told of its data."""
    common: dict[str, Any] = {
        "api_keys": API_KEYS,
        "openai_base_url": f"{model.url}/v1",
        "openai_model": "gpt-x",
        "data_dir": tmp_path,
    }
    if kind == "sqlite":
        shutil.copy(folder / "chat.db", tmp_path)
        told = json.loads((folder / "sqlite.json").read_text(encoding="utf-8"))
        async with serve_api(Settings(**common)) as api:
            api.headers.update(ANN)
            yield api, told
        return
    told = json.loads((folder / "cosmos.expected.json").read_text(encoding="utf-8"))
    async with FakeCosmos() as cosmos:
        async with CosmosStore(cosmos.endpoint, database=DATABASE, credential=KEY):
            pass
        for name, documents in json.loads((folder / "cosmos.json").read_text(encoding="utf-8")).items():
            cosmos.container(name).load(documents)
        account: dict[str, Any] = {"cosmos_endpoint": cosmos.endpoint, "cosmos_key": KEY, "cosmos_database": DATABASE}
        async with serve_api(Settings(**common, **account)) as api:
            api.headers.update(ANN)
            yield api, told


@pytest.fixture(scope="module", params=[*VERSIONS, "this one"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    version: str = request.param
    if version != "this one":
        return FOLDER / version
    # Made anew: that shows that the next release can make its own.
    made = tmp_path_factory.mktemp("data") / "made"
    subprocess.run([sys.executable, "-m", "tests.data.make", "--into", made], cwd=ROOT, check=True, timeout=120)
    return made


@pytest.fixture(params=["sqlite", "cosmos"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with ScriptedModel() as model:
        yield model


@pytest.fixture
async def data(folder: Path, kind: str, tmp_path: Path, model: ScriptedModel) -> AsyncIterator[Data]:
    async with opened(folder, kind, tmp_path, model) as (api, told):
        # Ends when the lease of the process that was killed has expired.
        await api.get(f"{told['broken_turn']}/events")
        yield api, told


def lacking(told: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield where something that was told is told otherwise now. New fields are no change."""
    if isinstance(told, dict) and isinstance(now, dict):
        for name, value in told.items():
            yield from lacking(value, now[name], f"{path}/{name}") if name in now else [f"{path}/{name} is missing"]
    elif isinstance(told, list) and isinstance(now, list) and len(told) == len(now):
        for index, value in enumerate(told):
            yield from lacking(value, now[index], f"{path}/{index}")
    elif told != now:
        yield f"{path}: {told!r}, now {now!r}"


async def messages_of(api: httpx2.AsyncClient, thread_id: str) -> list[dict[str, Any]]:
    return list((await api.get(f"/api/threads/{thread_id}/messages?limit=200")).json()["messages"])


async def test_what_it_has_told_is_told_still(data: Data) -> None:
    api, told = data
    now = await tell(api)
    assert (broken := now["threads"].pop(0))["id"] == told["broken"]
    assert [message["status"] for message in now["messages"].pop(broken["id"])] == ["interrupted"]
    assert now["turns"].pop(told["broken_turn"])["status"] == "interrupted"
    assert list(lacking({name: told[name] for name in now}, now)) == []


async def test_retries_of_then_are_known(data: Data) -> None:
    api, told = data
    path = f"/api/threads/{told['trip']}/messages"
    again = await api.post(path, json=TIP, headers={"Idempotency-Key": KEYS["answered"]})
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (told["answer"], "true")
    other = await api.post(path, json={"content": "Another"}, headers={"Idempotency-Key": KEYS["answered"]})
    assert other.json()["type"].endswith("idempotency_key_reused")
    cancelled = await api.post(path, json={"content": "Be slow."}, headers={"Idempotency-Key": KEYS["cancelled"]})
    assert (cancelled.json()["status"], cancelled.headers["Idempotent-Replayed"]) == ("cancelled", "true")
    before = len(await messages_of(api, told["trip"]))
    refused = await api.post(path, json={"content": "Refuse this."}, headers={"Idempotency-Key": KEYS["failed"]})
    assert refused.status_code == 422
    assert len(await messages_of(api, told["trip"])) == before


async def test_conversations_go_on(data: Data, model: ScriptedModel) -> None:
    api, told = data
    for thread in [*told["threads"], {"id": told["broken"]}]:
        before = await messages_of(api, thread["id"])
        answer = (await api.post(f"/api/threads/{thread['id']}/messages", json={"content": "And now?"})).json()
        assert (answer["status"], answer["content"]) == ("completed", "Hello, I am the scripted model.")
        after = await messages_of(api, thread["id"])
        assert [message["id"] for message in after[:-2]] == [message["id"] for message in before]
        assert after[-1] == answer
        shown = json.dumps(model.requests[-1]["messages"], ensure_ascii=False)
        assert all(message["content"].strip() in shown for message in before if message["status"] == "completed")
    session = (await api.post("/api/invoke", json={"user_input": "Hi", "thread_id": SESSION})).json()
    assert session["thread_id"] == told["session"]


async def test_threads_and_feedback_can_be_changed(data: Data) -> None:
    api, told = data
    path = f"/api/threads/{told['trip']}"
    feedback = f"{path}/messages/{told['answer']}/feedback"
    rated = (await api.put(feedback, json={"rating": "down"})).json()
    assert rated["feedback"]["rating"] == "down"
    assert (await api.delete(feedback)).status_code == 204
    assert "feedback" not in (await messages_of(api, told["trip"]))[1]
    assert (await api.patch(path, json={"title": "Journey", "status": "archived"})).json()["title"] == "Journey"
    listed = (await api.get("/api/threads?status=archived")).json()["threads"]
    assert {thread["title"] for thread in listed} == {"Journey", "Old"}
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404


async def test_it_is_exported_and_erased(data: Data, kind: str) -> None:
    api, told = data
    lines = [json.loads(line) for line in (await api.get("/api/export")).text.splitlines()]
    count = len(told["threads"]) + 1
    assert (lines[-1]["type"], lines[-1]["threads"]) == ("end", count)
    (state,) = (line for line in lines if line["type"] == "user_state")
    assert state["user_state"]["preferences"] == {"units": "imperial"}
    receipt = (await api.delete("/api/data")).json()
    while receipt["status"] == "running":
        receipt = (await api.get(f"/api/data/erasures/{receipt['id']}")).json()
    assert receipt["threads"] == count
    assert (await api.get("/api/threads")).json()["threads"] == []


def test_each_released_version_has_its_data() -> None:
    released = [line.split("]")[0].removeprefix("## [") for line in CHANGELOG.splitlines() if line.startswith("## [")]
    assert sorted(set(released) - {"Unreleased"}) == VERSIONS
    assert version_of(ROOT) == VERSION
