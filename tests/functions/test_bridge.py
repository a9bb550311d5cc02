"""The bridge between the Functions worker and an app: streams, failures, start and end; in the real runtime."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from tests.fakes.functions_host import FunctionsHost, needs_runtime

pytestmark = needs_runtime
SECONDS = 10
ROOT = Path(__file__).parent.parent.parent


async def test_app_sees_the_request_as_it_was_sent(sample_client: httpx2.AsyncClient) -> None:
    answer = await sample_client.get("/api/things/a%20b?x=1&x=%C3%A9", headers={"X-Forwarded-For": "192.0.2.1"})
    assert answer.status_code == 200
    seen = answer.json()
    assert seen["id"] == "a b"
    assert seen["query"] == "x=1&x=%C3%A9"
    assert seen["raw_path"] == "/api/things/a%20b"
    assert seen["root_path"] == ""
    assert seen["forwarded"] == "192.0.2.1"


async def test_app_finds_what_its_lifespan_made(sample_client: httpx2.AsyncClient) -> None:
    seen = (await sample_client.get("/api/things/1")).json()
    assert (seen["service"], seen["greeting"]) == ("ready", "hello")


async def test_app_runs_in_its_invocations_context_and_the_lifespan_in_none(
    sample: FunctionsHost, sample_client: httpx2.AsyncClient
) -> None:
    first, second = [(await sample_client.get("/api/things/1")).json()["invocation"] for _ in range(2)]
    assert first
    assert second
    assert first != second
    assert sample.module.probe.start_context is None


async def test_request_body_reaches_the_app_piece_by_piece(sample: FunctionsHost, sample_client: httpx2.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(sample.module.probe.received.wait(), SECONDS)
        yield b"second"

    assert (await sample_client.post("/api/upload", content=body())).json() == ["first", "second"]


async def test_response_body_reaches_the_client_piece_by_piece(
    sample: FunctionsHost, sample_client: httpx2.AsyncClient
) -> None:
    async with sample_client.stream("GET", "/api/pieces") as answer:
        pieces = answer.aiter_text()
        assert await anext(pieces) == "first"
        sample.module.probe.go.set()
        assert await anext(pieces) == "second"
        assert [piece async for piece in pieces] == []
    assert answer.headers["x-sample"] == "yes"


async def test_invocation_ends_when_the_response_begins(sample: FunctionsHost, sample_client: httpx2.AsyncClient) -> None:
    async with sample_client.stream("GET", "/api/pieces") as answer:
        await anext(answer.aiter_text())
        [(name, result)] = sample.invocations
        sample.module.probe.go.set()
    assert (name, result.status) == ("get_pieces", "Success")


async def test_app_stops_when_the_client_leaves_a_stream(sample: FunctionsHost, sample_client: httpx2.AsyncClient) -> None:
    await sample_client.get("/api/things/1")
    before = tasks()
    async with sample_client.stream("GET", "/api/endless") as answer:
        await anext(answer.aiter_text())
        assert len(tasks()) > len(before)
    await asyncio.wait_for(sample.module.probe.left.wait(), SECONDS)
    await until(lambda: tasks() <= before)


async def test_app_goes_on_when_the_client_leaves_before_the_response(
    sample: FunctionsHost, sample_client: httpx2.AsyncClient
) -> None:
    await sample_client.get("/api/things/1")
    before = tasks()
    call = asyncio.create_task(sample_client.get("/api/slow"))
    await asyncio.wait_for(sample.module.probe.entered.wait(), SECONDS)
    call.cancel()
    await asyncio.wait([call])
    assert not sample.module.probe.left.is_set()
    sample.module.probe.go.set()
    await asyncio.wait_for(sample.module.probe.left.wait(), SECONDS)
    await until(lambda: tasks() <= before)


async def test_failure_in_mid_stream_cuts_the_response_off(sample_client: httpx2.AsyncClient) -> None:
    async with sample_client.stream("GET", "/api/cut") as answer:
        pieces = answer.aiter_text()
        assert await anext(pieces) == "first"
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(pieces)


@pytest.mark.parametrize("path", ["/api/broken", "/api/silent"])
async def test_failure_before_the_response_is_a_problem(
    sample: FunctionsHost, sample_client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    answer = await sample_client.get(path)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("internal_error", 500)
    assert problem["request_id"]
    assert "secret" not in answer.text
    assert [record for record in caplog.records if record.name == "api.functions_bridge" and record.exc_text]
    await until(lambda: len(sample.invocations) == 1)
    assert sample.invocations[0][1].status == "Success"


async def test_first_requests_share_one_start(sample: FunctionsHost, sample_client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(sample_client.get("/api/things/1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert sample.module.probe.starts == 1


async def test_the_app_is_started_before_its_first_request_and_health_does_not_wait_for_it(
    starting: FunctionsHost, starting_client: httpx2.AsyncClient
) -> None:
    probe = starting.module.probe
    await until(lambda: probe.starts == 1)
    assert (probe.arrived, probe.start_context) == (0, None)
    waiting = asyncio.create_task(starting_client.get("/api/things/1"))
    await until(lambda: probe.arrived == 1)
    assert (await starting_client.get("/api/health")).json() == {"starts": 1}
    assert (waiting.done(), probe.start_completed) == (False, False)
    probe.may_start.set()
    assert (await waiting).status_code == 200
    await until(lambda: probe.start_completed)


async def test_failed_start_is_a_problem_for_all_who_wait_and_tried_again_by_the_next(
    starting: FunctionsHost, starting_client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    probe = starting.module.probe
    probe.failing_starts = 1
    calls = [asyncio.create_task(starting_client.get("/api/things/1")) for _ in range(3)]
    await until(lambda: probe.arrived == 3)
    probe.may_start.set()
    for answer in await asyncio.gather(*calls):
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert (answer.json()["type"], answer.json()["retryable"]) == ("not_ready", True)
        assert "secret" not in answer.text
    assert "the app could not be started" in caplog.text
    assert "secret" not in caplog.text
    assert (await starting_client.get("/api/things/1")).status_code == 200
    assert probe.starts == 2


async def test_a_start_that_is_cancelled_is_tried_again(starting: FunctionsHost, starting_client: httpx2.AsyncClient) -> None:
    probe = starting.module.probe
    probe.cancelled_start = True
    call = asyncio.create_task(starting_client.get("/api/things/1"))
    await until(lambda: probe.arrived == 1)
    probe.may_start.set()
    assert (await call).status_code == 503
    assert (await starting_client.get("/api/things/1")).status_code == 200


async def test_what_runs_is_ended_before_its_connection_is_waited_for(
    sample: FunctionsHost, sample_client: httpx2.AsyncClient
) -> None:
    probe = sample.module.probe
    slow = asyncio.create_task(sample_client.get("/api/slow"))
    await probe.entered.wait()
    await sample.stop_worker()
    assert (await slow).json() == {"done": True}
    assert probe.draining
    assert probe.closed


async def test_app_is_closed_when_the_workers_server_stops(sample: FunctionsHost, sample_client: httpx2.AsyncClient) -> None:
    await sample_client.get("/api/things/1")
    await sample_client.get("/api/things/1")
    assert not sample.module.probe.closed
    await sample.stop_worker()
    assert sample.module.probe.closed


def test_app_is_closed_by_a_signal() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNALLED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "closed before the process ends: True", done.stderr


# The server gives the signal back when it has shut down; that is what ends a real worker.
SIGNALLED = """
import asyncio, os, signal, httpx2
from pathlib import Path
from tests.fakes.functions_host import start_host

def ended(*_):
    print("closed before the process ends:", host.module.probe.closed, flush=True)
    os._exit(0)

async def main():
    global host
    signal.signal(signal.SIGTERM, ended)
    async with start_host(Path("tests/functions"), "sample_app.py") as host:
        host.module.probe.may_start.set()
        async with httpx2.AsyncClient(transport=host, base_url="http://localhost") as client:
            await client.get("/api/things/1")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_hundred_calls_at_once_get_their_own_answers(sample: FunctionsHost, sample_client: httpx2.AsyncClient) -> None:
    answers = await asyncio.gather(*(sample_client.get(f"/api/things/{number}") for number in range(100)))
    assert [answer.json()["id"] for answer in answers] == [str(number) for number in range(100)]
    assert {name for name, _ in sample.invocations} == {"get_thing"}


async def test_memory_does_not_grow_with_the_calls(sample_client: httpx2.AsyncClient) -> None:
    """The runtime itself keeps some objects of each call: what it keeps for a function without the bridge is the measure."""
    calls = 2000
    for path in ("/api/trivial", "/api/things/1"):
        await growth(sample_client, path, 100)
    runtime = await growth(sample_client, "/api/trivial", calls)
    bridge = await growth(sample_client, "/api/things/1", calls)
    assert (bridge - runtime) / calls < 0.5


async def growth(client: httpx2.AsyncClient, path: str, calls: int) -> int:
    """Return how many blocks of memory more are in use after some calls."""
    # pytest keeps every line that is logged.
    logging.disable(logging.INFO)
    try:
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(calls):
            assert json.loads((await client.get(path)).content)["id"] == "1"
        gc.collect()
        return sys.getallocatedblocks() - before
    finally:
        logging.disable(logging.NOTSET)


def tasks() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - nothing tells when the runtime has let go
            await asyncio.sleep(0)
