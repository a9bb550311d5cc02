"""The API as Azure Functions runs it: what the runtime finds in function_app.py, and calls through it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
import time_machine

from api.app import create_app
from api.functions_bridge import METHODS
from data_rights.retention import Retention
from errors import StoreUnavailable
from identity.authenticator import LOCAL_OWNER
from models import Owner, Thread, new_id, utcnow
from services.intervals import Intervals
from services.services import Services
from settings import Settings
from stores.sqlite.store import SqliteStore
from stores.types import NewMessage
from tests.fakes.functions_host import FunctionsHost, needs_runtime, start_host
from tests.fakes.model import FakeModel, Reply
from tests.support.events import SSE, all_events, sse_events
from tests.support.server import serve_api

pytestmark = needs_runtime
NAMES = """
    batch cancel_turn continue_turn create_thread delete_feedback delete_thread erase_data export follow_turn get_docs
    get_docs_file get_erasure get_health get_info get_openapi get_page_file get_ready get_sign_in get_thread
    get_turn get_usage get_vendored_file invoke list_approvals list_messages list_threads list_tools put_feedback
    receive_activity remove_approvals send_message stream update_thread zz_everything_else
""".split()  # noqa: SIM905 - forty lines otherwise
ROOT = Path(__file__).parents[2]
MISSING = f"thread_{'0' * 32}"


async def test_runtime_finds_a_function_for_every_route(api: FunctionsHost) -> None:
    assert [function.name for function in api.functions] == NAMES
    assert {function.auth_level for function in api.functions} == {"ANONYMOUS"}


async def test_functions_take_the_paths_and_methods_of_the_openapi_document(api: FunctionsHost, tmp_path: Path) -> None:
    document = create_app(Settings(data_dir=tmp_path)).openapi()
    documented = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    *own, catch_all = api.functions
    served = {(f"/{function.route}", method) for function in own for method in function.methods or ()}
    files = ("/api/openapi.json", "/api/docs", "/api/docs/{file}", "/web/{file}", "/web/vendor/{file}")
    # Bot Service's route is not for API callers.
    assert served == documented | {(file, "GET") for file in files} | {("/api/messages", "POST")}
    # Without methods it would take those, too, that the worker's server answers without telling the invocation.
    assert (catch_all.route, sorted(catch_all.methods or ())) == ("{*path}", METHODS)


async def test_each_request_counts_for_its_own_function(api: FunctionsHost, api_client: httpx2.AsyncClient) -> None:
    created = await api_client.post("/api/threads", json={"title": "Trip"})
    assert created.status_code == 201
    thread = created.json()
    path = created.headers["location"]
    assert (await api_client.get(path)).json() == thread
    assert (await api_client.patch(path, json={"title": "Journey"})).json()["title"] == "Journey"
    assert [item["id"] for item in (await api_client.get("/api/threads")).json()["threads"]] == [thread["id"]]
    assert (await api_client.get(f"{path}/messages")).json() == {"messages": [], "next_cursor": None}
    assert (await api_client.delete(path)).status_code == 204
    assert (await api_client.get("/api/health")).status_code == 200
    assert "openapi" in (await api_client.get("/api/openapi.json")).json()
    assert "swagger-ui" in (await api_client.get("/api/docs")).text
    assert (await api_client.get("/api/docs/start.js")).status_code == 200
    assert [name for name, _ in api.invocations] == [
        "create_thread",
        "get_thread",
        "update_thread",
        "list_threads",
        "list_messages",
        "delete_thread",
        "get_health",
        "get_openapi",
        "get_docs",
        "get_docs_file",
    ]
    assert {result.status for _, result in api.invocations} == {"Success"}


async def test_the_timer_keeps_house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also as the first call of all, when nothing has started the app yet."""
    owner = Owner("acme", "ann")
    async with SqliteStore(tmp_path / "chat.db") as store:
        with time_machine.travel(utcnow() - timedelta(days=31)):
            await store.create_thread(owner, title="idle", metadata={})
            left = await store.begin_erasure(LOCAL_OWNER)
            await store.create_thread(LOCAL_OWNER, title="to be erased", metadata={})
        kept = await store.create_thread(owner, title="new", metadata={})
        for name, value in (("DATA_DIR", str(tmp_path)), ("RETENTION_DAYS", "30"), ("COSMOS_ENDPOINT", "")):
            monkeypatch.setenv(name, value)
        async with start_host(ROOT, "function_app.py") as host:
            trigger = host.triggered["retention"].trigger
            assert re.fullmatch(r"0 [1-5]?[0-9] \* \* \* \*", trigger["schedule"])
            assert trigger["useMonitor"] is False
            result = await host.fire("retention")
            assert result.status == "Success", result.exception
            assert [thread.id for thread in await all_threads(store, owner)] == [kept.id]
            assert await all_threads(store, LOCAL_OWNER) == []
            assert (await store.get_erasure(LOCAL_OWNER, left.id)).status == "completed"
            async with httpx2.AsyncClient(transport=host, base_url="http://localhost") as client:
                assert (await client.get("/api/threads")).json()["threads"] == []
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def all_threads(store: SqliteStore, owner: Owner) -> list[Thread]:
    return (await store.list_threads(owner, status=None, limit=10, cursor=None)).items


async def test_a_timer_that_fails_is_a_failed_invocation(api: FunctionsHost, tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_bytes(b"not a database, but long enough to look at" * 100)
    assert (await api.fire("retention")).status == "Failure"


async def test_a_failed_start_tells_the_host_no_exceptions_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audit L3."""
    (tmp_path / "KILI").write_text("")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "KILI" / "data"))
    monkeypatch.setenv("COSMOS_ENDPOINT", "")
    async with start_host(ROOT, "function_app.py") as host:
        result = await host.fire("retention")
    assert result.status == "Failure"
    assert "NotReady" in str(vars(result.exception))
    assert "Not a directory" not in str(vars(result.exception))


async def test_erasures_go_on_although_the_sweep_of_retention_fails(
    api: FunctionsHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audit L13."""

    async def fail(_: Retention) -> int:
        raise StoreUnavailable

    # The app has looked for erasures when it started: this one is left to the timer.
    assert (await api.fire("retention")).status == "Success"
    async with SqliteStore(tmp_path / "chat.db") as store:
        with time_machine.travel(utcnow() - timedelta(days=1)):
            left = await store.begin_erasure(LOCAL_OWNER)
        monkeypatch.setattr(Retention, "sweep", fail)
        assert (await api.fire("retention")).status == "Failure"
        assert (await store.get_erasure(LOCAL_OWNER, left.id)).status == "completed"


async def test_agent_answers_a_message(api_client: httpx2.AsyncClient) -> None:
    thread = (await api_client.post("/api/threads", json={})).json()
    answer = await api_client.post(f"/api/threads/{thread['id']}/messages", json={"content": "What is a 15% tip on $85?"})
    assert answer.status_code == 200
    assert answer.json()["role"] == "assistant"
    assert "12.75" in answer.json()["content"]


async def test_an_answer_streams_as_on_the_other_host(api_client: httpx2.AsyncClient, tmp_path: Path) -> None:
    async with serve_api(Settings(data_dir=tmp_path / "other")) as other_client:
        told = []
        for client in (api_client, other_client):
            thread = (await client.post("/api/threads", json={})).json()
            path = f"/api/threads/{thread['id']}/messages"
            question = {"content": "Tide in Seattle, and what is a 15% tip on $85?"}
            async with client.stream("POST", path, json=question, headers=SSE) as response:
                assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
                assert response.headers["x-accel-buffering"] == "no"
                events = [event async for event in sse_events(response)]
            told.append([(e["id"], e["type"], e.get("text"), e.get("tool"), e.get("arguments")) for e in events])
            turn = f"/api/threads/{thread['id']}/turns/{events[0]['turn_id']}"
            assert await all_events(client, f"{turn}/events", **{"Last-Event-ID": "4"}) == events[4:]
            assert (await client.post(f"{turn}/cancel")).status_code == 409
    assert told[0] == told[1]
    assert told[0][-1][1] == "message.completed"


async def test_the_page_is_at_the_root(api: FunctionsHost, api_client: httpx2.AsyncClient) -> None:
    page = await api_client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (await api_client.get("/web/page.js")).status_code == 200
    assert (await api_client.get("/web/vendor/marked.esm.js")).status_code == 200
    assert [name for name, _ in api.invocations] == ["zz_everything_else", "get_page_file", "get_vendored_file"]


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", f"/api/threads/{MISSING}", 404, "thread_not_found"),
        ("GET", "/api/threads/other", 404, "thread_not_found"),
        ("GET", "/api/nothing/here", 404, "not_found"),
        ("GET", "/api/", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/web/nothing.js", 404, "not_found"),
        ("PUT", "/api/threads", 405, "method_not_allowed"),
        ("HEAD", "/api/threads", 405, None),
        ("OPTIONS", "/api/threads", 405, "method_not_allowed"),
    ],
)
async def test_errors_are_the_apis_own(
    api_client: httpx2.AsyncClient, method: str, path: str, status: int, slug: str | None
) -> None:
    answer = await api_client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    if slug:
        assert answer.json()["type"] == slug
    if status == 405:
        assert answer.headers["allow"] == "GET, POST"


async def test_body_that_is_too_large_is_refused(api_client: httpx2.AsyncClient) -> None:
    answer = await api_client.post("/api/threads", content=b" " * 257 * 1024, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "body_too_large")


async def test_endless_body_is_not_read(api_client: httpx2.AsyncClient) -> None:
    pieces = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal pieces
        for pieces in range(4096):  # noqa: B007 - read outside
            yield b" " * 16 * 1024

    # The server closes the connection; a client that is still sending may not see the answer.
    with contextlib.suppress(httpx2.TransportError):
        answer = await api_client.post("/api/threads", content=body(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    assert pieces < 4095


@pytest.mark.parametrize("trigger", ["stream", "timer"])
async def test_a_worker_that_stops_gives_leases_back_whoever_is_reading(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trigger: str
) -> None:
    """With a client that reads on, and in a worker that no request has reached."""
    reached = asyncio.Event()

    async def hold() -> None:
        reached.set()
        await asyncio.Event().wait()

    async def begin(services: Services) -> None:
        thread = await services.store.create_thread(LOCAL_OWNER, title=None, metadata={})
        await services.turns.start(LOCAL_OWNER, thread.id, NewMessage(new_id("turn"), "hi", {}), stream=True)

    async with FakeModel(Reply(text="one two", wait_for_piece=hold)) as model:
        for name, value in {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_MODEL": "m", "DATA_DIR": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        async with (
            start_host(ROOT, "function_app.py", intervals=Intervals(grace=0.1)) as host,
            httpx2.AsyncClient(transport=host, base_url="http://localhost", timeout=20) as client,
        ):
            if trigger == "stream":
                thread = (await client.post("/api/threads", json={})).json()
                path = f"/api/threads/{thread['id']}/messages"
                reading = asyncio.create_task(client.post(path, json={"content": "hi"}, headers=SSE))
            else:
                await host.module.run_with_services(begin)
            await asyncio.wait_for(reached.wait(), 20)
            await host.stop_worker()
            if trigger == "stream":
                assert '"type":"turn_interrupted"' in (await reading).text
    async with SqliteStore(tmp_path / "chat.db") as store:
        [thread_id] = await store.list_thread_ids(LOCAL_OWNER, limit=2, after=None)
        page = await store.list_messages(LOCAL_OWNER, thread_id, limit=9, after=None, before=None, order="asc")
        assert [message.status for message in page.items] == ["interrupted"]
        assert [turn.status for turn in await store.list_turns(LOCAL_OWNER, thread_id, limit=9, after=None)] == ["interrupted"]


async def test_a_message_of_the_queue_is_not_taken_without_a_bot(api: FunctionsHost) -> None:
    for work in (partial(api.module.answer_activity, "{}", 1), partial(api.module.handle_dead_activity, "{}")):
        with pytest.raises(RuntimeError, match="no bot"):
            await work(SimpleNamespace(bot=None))


async def test_full_collections_leave_out_what_the_start_has_made(api: FunctionsHost, api_client: httpx2.AsyncClient) -> None:
    assert (await api_client.get("/api/tools")).status_code == 200
    assert gc.get_freeze_count() > 0
