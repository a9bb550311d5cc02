"""Makes what a version stores, for the tests that later versions can open it: a folder here for each version that was released.

``python -m tests.data.make`` runs this checkout's server on a SQLite file and on a fake Cosmos DB account, holds conversations
over HTTP, and keeps what is stored then: ``chat.db``, ``cosmos.json``, and in ``sqlite.json`` and ``cosmos.expected.json`` what
the API has told of it. ``--checkout FOLDER`` runs another version's server. A folder that is there is never changed again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2

from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.model import Call, FakeModel, Reply
from tests.support.local import ROOT, address_in, running

FOLDER = Path(__file__).parent
DATABASE = "chat_db"
API_KEY = "chat_key-of-the-stored-data"
API_KEYS = json.dumps(
    [{"name": "web", "tenant": "acme", "sha256": hashlib.sha256(API_KEY.encode()).hexdigest(), "scopes": ["chat", "admin"]}]
)
ANN = {"X-API-Key": API_KEY, "X-User-Id": "ann"}
BOB = {"X-API-Key": API_KEY, "X-User-Id": "bob"}
SESSION = "session 7 / ünï"
TIP = {"content": "Calculate a 15% tip on $85.", "metadata": {"lang": "en"}}
KEYS = {"answered": "key-answered", "failed": "key-failed", "cancelled": "key-cancelled"}
# What no caller can set over HTTP: a channel does.
SET_STATE = """
import asyncio
from datetime import UTC, datetime
from identity.azure_credential import AzureCredential
from models import Owner, UserState
from services.open_store import open_store
from settings import load_settings

async def main():
    async with open_store(load_settings(), AzureCredential()) as store:
        values = {"preferences": {"units": "imperial"}, "values": {"list": [1, "two", None]}}
        moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        await store.put_user_state(Owner("acme", "ann"), UserState(last_feedback=moment, **values))

asyncio.run(main())
"""


class ScriptedModel(FakeModel):
    """Does what the last message asks for: calculate, cite, refuse, or be slow for ever."""

    def __init__(self) -> None:
        super().__init__(Reply("Hello."))

    def reply_to(self, request: dict[str, Any]) -> Reply:
        last = request["messages"][-1]
        if last["role"] == "tool":
            return Reply("Here it is: [1] 12.75 – ünïcode 🏔 included.")
        words = last["content"].lower()
        if "calculate" in words:
            return Reply(
                calls=(Call("calculate", '{"expression": "85 * 0.15"}'), Call("calculate", '{"expression": "1/0"}', "call_2"))
            )
        if "look up" in words:
            return Reply(calls=(Call("search_knowledge_base", '{"query": "warranty"}'),))
        if "refuse" in words:
            return Reply(status=400, error={"message": "no", "type": None, "code": "content_filter"})
        if "slow" in words:
            return Reply("One two three four.", wait_for_piece=_Stall(3))
        return Reply("Hello, I am the scripted model.")


class _Stall:
    """Lets some pieces pass."""

    def __init__(self, pieces: int) -> None:
        self._left = pieces

    async def __call__(self) -> None:
        self._left -= 1
        if self._left < 0:
            await asyncio.Event().wait()


async def converse(api: httpx2.AsyncClient) -> dict[str, Any]:
    """Let an owner do everything that leaves something in the store; return what the API tells of it."""
    trip = (await _post(api, "/api/threads", {"title": "Trip", "metadata": {"tags": ["a", "b"]}}))["id"]
    path = f"/api/threads/{trip}"
    answer = await _post(api, f"{path}/messages", TIP, **{"Idempotency-Key": KEYS["answered"]})
    rating = {"rating": "up", "comment": "Good – thank you"}
    await _told(await api.put(f"{path}/messages/{answer['id']}/feedback", json=rating))
    await _post(api, f"{path}/messages", {"content": "Look up the warranty."})
    refused = await api.post(f"{path}/messages", json={"content": "Refuse this."}, headers={"Idempotency-Key": KEYS["failed"]})
    assert refused.status_code == 422, refused.text
    slow = await _begin_slow(api, path, KEYS["cancelled"])
    await _told(await api.post(f"{slow}/cancel"))
    await api.get(f"{slow}/events")
    archived = (await _post(api, "/api/threads", {"title": "Old"}))["id"]
    await _post(api, f"/api/threads/{archived}/messages", {"content": "Hello?"})
    await _told(await api.patch(f"/api/threads/{archived}", json={"status": "archived"}))
    session = await _post(api, "/api/invoke", {"user_input": "Calculate something.", "thread_id": SESSION})
    await _post(api, "/api/threads", {"title": "Empty"})
    told = await tell(api)
    # The server is killed while it answers this one.
    broken = (await _post(api, "/api/threads", {"title": "Broken off"}))["id"]
    turn = await _begin_slow(api, f"/api/threads/{broken}", "key-broken-off")
    return {
        **told,
        "trip": trip,
        "answer": answer["id"],
        "session": session["thread_id"],
        "broken": broken,
        "broken_turn": turn,
    }


async def tell(api: httpx2.AsyncClient) -> dict[str, Any]:
    """Return an owner's threads, and each one's messages and turns."""
    threads = (await _told(await api.get("/api/threads?limit=100")))["threads"]
    messages, turns = {}, {}
    for thread in threads:
        path = f"/api/threads/{thread['id']}"
        messages[thread["id"]] = (await _told(await api.get(f"{path}/messages?limit=200")))["messages"]
        for id in {message["turn_id"] for message in messages[thread["id"]]}:
            turns[f"{path}/turns/{id}"] = await _told(await api.get(f"{path}/turns/{id}"))
    return {"threads": threads, "messages": messages, "turns": turns}


async def erase_somebody(address: str) -> str:
    """Let another owner erase what they have; return the receipt's address."""
    async with httpx2.AsyncClient(base_url=address, headers=BOB, timeout=30) as api:
        await _post(api, "/api/invoke", {"user_input": "Forget me."})
        erasure = f"/api/data/erasures/{(await _told(await api.delete('/api/data')))['id']}"
        while (await _told(await api.get(erasure)))["status"] == "running":  # each look takes a moment
            continue
        return erasure


async def make(checkout: Path, data_dir: Path, **environment: str) -> dict[str, Any]:
    """Run a checkout's server, talk to it, kill it in the middle of an answer; return what it has told."""
    async with ScriptedModel() as model:
        variables = {
            "API_KEYS": API_KEYS,
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "OPENAI_MODEL": "scripted",
            "LOG_LEVEL": "ERROR",
            # What is broken off is free again soon.
            "TURN_LEASE_SECONDS": "1",
            **environment,
        }
        async with running(data_dir, checkout, **variables) as (server, banner):
            erasure = await erase_somebody(address_in(banner))
            async with httpx2.AsyncClient(base_url=address_in(banner), headers=ANN, timeout=30) as api:
                told = await converse(api)
            server.kill()
        # Its store is opened once more, which also brings the SQLite file in order.
        variables = {**os.environ, **variables, "DATA_DIR": str(data_dir)}
        setting = await asyncio.create_subprocess_exec(sys.executable, "-c", SET_STATE, cwd=checkout, env=variables)
        assert await setting.wait() == 0
    return {**told, "erasure": erasure}


async def make_all(checkout: Path, folder: Path) -> None:
    """Make the data of both stores, and keep it in a folder."""
    with tempfile.TemporaryDirectory() as temporary:
        told = await make(checkout, Path(temporary))
        shutil.copy(Path(temporary) / "chat.db", folder)
        _write(folder / "sqlite.json", told)
    async with FakeCosmos() as cosmos:
        with tempfile.TemporaryDirectory() as temporary:
            account = {"COSMOS_ENDPOINT": cosmos.endpoint, "COSMOS_KEY": KEY, "COSMOS_DATABASE": DATABASE}
            _write(folder / "cosmos.expected.json", await make(checkout, Path(temporary), **account))
        stored = {name: [_own(each) for each in cosmos.container(name).everything()] for name in ("messages", "threads")}
        _write(folder / "cosmos.json", stored)


def version_of(checkout: Path) -> str:
    """Return the version that a checkout says it is."""
    found = re.search(r'VERSION = "([^"]+)"', (checkout / "api" / "version.py").read_text())
    assert found
    return found[1]


async def _begin_slow(api: httpx2.AsyncClient, path: str, key: str) -> str:
    """Begin a turn that does not end; return its address once some of its answer is there."""
    headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
    begun = await api.post(f"{path}/messages", json={"content": "Be slow."}, headers=headers)
    assert begun.status_code == 202, begun.text
    address = str(begun.headers["location"])
    async with api.stream("GET", f"{address}/events", headers={"Accept": "application/x-ndjson"}) as events:
        async for line in events.aiter_lines():
            if "message.delta" in line:
                return address
    raise AssertionError("the turn ended")


async def _post(api: httpx2.AsyncClient, path: str, body: Any, **headers: str) -> Any:
    return await _told(await api.post(path, json=body, headers=headers))


async def _told(response: httpx2.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def _own(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the app has written of a document."""
    return {name: value for name, value in document.items() if not name.startswith("_")}


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Make the folder of a version."""
    parser = argparse.ArgumentParser(description="Keep what a version stores.")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="another version's checkout; default: this one")
    parser.add_argument("--into", type=Path, help="default: tests/data/<version>, which must not be there yet")
    arguments = parser.parse_args()
    checkout = arguments.checkout.resolve()
    folder = arguments.into or FOLDER / version_of(checkout)
    folder.mkdir(parents=True)
    asyncio.run(make_all(checkout, folder))
    print(f"made by {checkout}: {folder}")


if __name__ == "__main__":
    main()
