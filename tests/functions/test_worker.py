"""What the worker's own web server must not do to an invocation: requests that it answers, loses, or keeps for ever."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.functions_worker import BoundedCoordinator, RequestNotForwarded
from tests.fakes.functions_host import FunctionsHost, needs_runtime

ROOT = Path(__file__).parents[2]
ORIGIN = "https://app.example.com"


@pytest.fixture
def coordinator() -> Iterator[Any]:
    """The worker's own coordinator, as it was."""
    found = pytest.importorskip("azure_functions_runtime.http_v2").http_coordinator
    yield found
    for name in ("get_http_request_async", "set_http_response", "await_http_response_async"):
        vars(found).pop(name, None)


@needs_runtime
@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
async def test_no_address_is_answered_by_the_workers_own_app(
    api: FunctionsHost, api_client: httpx2.AsyncClient, path: str
) -> None:
    answer = await api_client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "not_found")
    assert "server" not in answer.headers
    assert [(name, result.status) for name, result in api.invocations] == [("zz_everything_else", "Success")]


@needs_runtime
async def test_a_method_that_the_worker_does_not_know_never_reaches_it(
    api: FunctionsHost, api_client: httpx2.AsyncClient
) -> None:
    answer = await api_client.request("PROPFIND", "/")
    assert (answer.status_code, answer.headers["x-answered-by"]) == (404, "host")
    assert api.open_invocations == 0


@needs_runtime
async def test_a_request_that_is_not_forwarded_is_one_failed_invocation(
    api: FunctionsHost, api_client: httpx2.AsyncClient, coordinator: Any
) -> None:
    BoundedCoordinator(coordinator, seconds=0.05).install()
    answer = await api_client.get("/api/health", headers=[(b"X-User-Id", "José".encode())])
    assert (answer.status_code, answer.headers["x-answered-by"]) == (502, "host")
    assert (await api_client.get("/api/health")).status_code == 200
    await api.all_ended()
    assert sorted(result.status for _, result in api.invocations) == ["Failure", "Success"]
    assert coordinator._context_references == {}


@needs_runtime
async def test_a_callers_own_invocation_id_costs_its_request_and_nothing_else(
    api: FunctionsHost, api_client: httpx2.AsyncClient, coordinator: Any
) -> None:
    BoundedCoordinator(coordinator, seconds=0.05).install()
    answer = await api_client.get("/api/health", headers={"X-MS-Invocation-Id": "mine"})
    assert (answer.status_code, answer.json()["type"]) == (503, "not_ready")
    assert (await api_client.get("/api/health")).status_code == 200
    await api.all_ended()
    assert sorted(result.status for _, result in api.invocations) == ["Failure", "Success"]
    assert coordinator._context_references == {}


@needs_runtime
@pytest.mark.parametrize("path", ["/api/threads/a%0Ab", "/%0Ax", "/x%0D%0Ay", "/api/threads/a%E2%80%A8b/messages"])
async def test_a_line_break_in_a_path_is_not_answered_by_the_workers_own_app(
    api: FunctionsHost, api_client: httpx2.AsyncClient, path: str
) -> None:
    answer = await api_client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    await api.all_ended()
    assert [result.status for _, result in api.invocations] == ["Success"]


@needs_runtime
async def test_the_later_of_two_requests_with_one_id_is_answered(coordinator: Any) -> None:
    BoundedCoordinator(coordinator, seconds=5).install()
    coordinator.set_http_request("twice", "first")
    first = asyncio.create_task(coordinator.await_http_response_async("twice"))
    await asyncio.sleep(0)
    assert await coordinator.get_http_request_async("twice") == "first"
    coordinator.set_http_request("twice", "second")
    second = asyncio.create_task(coordinator.await_http_response_async("twice"))
    assert (await first).status_code == 503
    coordinator.set_http_response("twice", "response")
    assert await second == "response"
    assert coordinator._context_references == {}
    coordinator.set_http_response("twice", "nobody waits")


@needs_runtime
async def test_an_answer_may_take_longer_than_a_request_may(coordinator: Any) -> None:
    BoundedCoordinator(coordinator, seconds=0.01).install()
    coordinator.set_http_request("slow", "request")
    response = asyncio.create_task(coordinator.await_http_response_async("slow"))
    await asyncio.sleep(0)
    assert await coordinator.get_http_request_async("slow") == "request"
    assert not (await asyncio.wait([response], timeout=0.05))[0]
    coordinator.set_http_response("slow", "response")
    assert await response == "response"


@needs_runtime
async def test_a_request_that_comes_after_its_invocation_was_given_up_is_refused(coordinator: Any) -> None:
    bounded = BoundedCoordinator(coordinator, seconds=0.01)
    bounded.install()
    with pytest.raises(RequestNotForwarded) as gone:
        await coordinator.get_http_request_async("late")
    coordinator.set_http_response("late", gone.value)
    coordinator.set_http_request("late", object())
    assert (await coordinator.await_http_response_async("late")).status_code == 503
    assert coordinator._context_references == {}


@needs_runtime
async def test_nothing_is_kept_of_requests_that_were_answered(
    api: FunctionsHost, api_client: httpx2.AsyncClient, coordinator: Any
) -> None:
    for _ in range(3):
        await asyncio.gather(*(api_client.get("/api/health") for _ in range(20)))
    await api.all_ended()
    assert coordinator._context_references == {}
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each).__name__ == "AsyncContextReference"]


@needs_runtime
async def test_the_workers_server_prints_no_line_a_request(
    api: FunctionsHost, api_client: httpx2.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (await api_client.get("/api/health")).status_code == 200
    await api.all_ended()
    told = "".join(capfd.readouterr())
    assert "HTTP/1.1" not in told


@needs_runtime
async def test_the_host_answers_preflights(api: FunctionsHost, api_client: httpx2.AsyncClient) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    refused = await api_client.options("/api/threads", headers=asked)
    assert "access-control-allow-origin" not in refused.headers
    api.allowed_origins = (ORIGIN,)
    allowed = await api_client.options("/api/threads", headers=asked)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, ORIGIN)
    assert not api.invocations
    answer = await api_client.get("/api/health", headers={"Origin": ORIGIN})
    assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]


@needs_runtime
async def test_the_host_refuses_a_body_before_the_worker_hears_of_it(
    api: FunctionsHost, api_client: httpx2.AsyncClient
) -> None:
    """It reads a body of known length whole; the limit is an app setting (infra/core/host/function-app.bicep)."""
    api.body_limit = 524_288
    big = await api_client.post("/api/threads", content=b" " * 5_000_000)
    assert (big.status_code, big.headers["x-answered-by"]) == (413, "host")
    # What is only a little too large gets our own answer.
    ours = await api_client.post("/api/threads", content=b" " * 300_000, headers={"Content-Type": "application/json"})
    assert (ours.status_code, ours.json()["type"]) == (413, "body_too_large")


def test_no_module_of_ours_has_the_name_of_a_package() -> None:
    """A warm start puts the app's folder behind the packages: the package would be found instead."""
    ours = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/*.py")}
    packages = {name.split("/")[0] for name in importlib.metadata.packages_distributions()}
    assert len(ours) > 20
    assert ours & packages == set()
