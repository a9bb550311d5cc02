"""`GET /api/ready` on a real server: what works, what fails, and what an answer costs."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.intervals import Intervals
from settings import ApiKey, Settings
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.model import FakeModel, Reply
from tests.fakes.redis import RedisServer, needs_redis
from tests.support.server import serve_api

READY = "/api/ready"


# On a busy machine the agent takes a while to be made; test_readiness.py tests the wait.
PATIENT = Intervals(ready_wait=60)
ASKED_EVERY_TIME = Intervals(ready_wait=60, ready_fresh=0, model_fresh=0)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    async with serve_api(settings, PATIENT) as client:
        yield client


def failing(response: httpx2.Response) -> list[str]:
    """Return the parts that a 503 names, and nothing else."""
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["type"], problem["retryable"]) == ("not_ready", True)
    assert response.headers["retry-after"] == str(problem["retry_after"])
    assert problem["detail"] == f"These do not work: {', '.join(problem['failing'])}."
    names: list[str] = problem["failing"]
    return names


async def test_what_runs_embedded_is_ready(api: httpx2.AsyncClient) -> None:
    response = await api.get(READY)
    assert (response.status_code, response.json()) == (200, {"status": "ready", "parts": ["store", "model"]})


async def test_probes_need_no_credentials(tmp_path: Path) -> None:
    key = ApiKey(name="web", tenant="acme", sha256=hashlib.sha256(b"key").hexdigest())
    async with serve_api(Settings(data_dir=tmp_path, api_keys=(key,)), PATIENT) as api:
        assert (await api.get(READY)).status_code == 200
        assert (await api.get("/api/info")).status_code == 401


async def test_a_cached_answer_takes_less_than_five_milliseconds(api: httpx2.AsyncClient) -> None:
    await api.get(READY)
    taken = []
    for _ in range(50):
        started = time.perf_counter()
        assert (await api.get(READY)).status_code == 200
        taken.append(time.perf_counter() - started)
    # The best of many, as others use this machine too; `make bench` tells the median.
    assert min(taken) < 0.005


async def test_a_broken_file_is_named(settings: Settings, tmp_path: Path) -> None:
    async with serve_api(settings, ASKED_EVERY_TIME) as api:
        assert (await api.get(READY)).status_code == 200
        with closing(sqlite3.connect(tmp_path / "chat.db")) as db:
            db.execute("DROP TABLE threads")
        assert failing(await api.get(READY)) == ["store"]


async def test_a_cosmos_account_that_fails_is_named(tmp_path: Path) -> None:
    async with FakeCosmos() as fake:
        settings = Settings(cosmos_endpoint=fake.endpoint, cosmos_key=KEY, data_dir=tmp_path)
        async with serve_api(settings, ASKED_EVERY_TIME) as api:
            start = len(fake.log)
            assert (await api.get(READY)).status_code == 200
            asked = [entry for entry in fake.requests(start) if entry.kind == "read"]
            assert sorted((entry.kind, entry.container, entry.status) for entry in asked) == [
                ("read", "messages", 404),
                ("read", "threads", 404),
            ]
            assert sum(entry.charge for entry in asked) == 2
            fake.fail("read", "threads", status=403)
            assert failing(await api.get(READY)) == ["store"]
            assert (await api.get(READY)).status_code == 200
            for container in fake.databases["chat_db"].copy():
                del fake.databases["chat_db"][container]
            assert failing(await api.get(READY)) == ["store"]


async def test_a_model_is_asked_for_its_models_once(tmp_path: Path) -> None:
    async with FakeModel(Reply("unused")) as model:
        settings = Settings(openai_base_url=f"{model.url}/v1", openai_api_key="sk-1", openai_model="m", data_dir=tmp_path)
        async with serve_api(settings, PATIENT) as api:
            for _ in range(3):
                assert (await api.get(READY)).json()["parts"] == ["store", "model"]
        assert model.paths == ["/v1/models"]
        assert model.headers[0]["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize(
    "reply", [Reply(status=401), Reply(status=404), Reply(status=500), Reply(drop=True)], ids=["401", "404", "500", "drop"]
)
async def test_a_model_that_fails_is_named(tmp_path: Path, reply: Reply) -> None:
    async with FakeModel(Reply("unused")) as model:
        working = model.models
        settings = Settings(
            azure_openai_endpoint=model.url, azure_openai_api_key="key", azure_openai_model="gpt", data_dir=tmp_path
        )
        async with serve_api(settings, ASKED_EVERY_TIME) as api:
            model.models = reply
            assert failing(await api.get(READY)) == ["model"]
            assert set(model.paths) == {"/openai/v1/models"}
            model.models = working
            assert (await api.get(READY)).status_code == 200


@needs_redis
async def test_redis_that_is_down_is_named_until_it_is_back(tmp_path: Path) -> None:
    async with (
        RedisServer(tmp_path) as redis,
        serve_api(Settings(redis_url=redis.url, data_dir=tmp_path), ASKED_EVERY_TIME) as api,
    ):
        assert (await api.get(READY)).json()["parts"] == ["store", "model", "limits"]
        await redis.stop()
        response = await api.get(READY)
        assert failing(response) == ["limits"]
        assert redis.url not in response.text
        await redis.start()
        assert (await api.get(READY)).status_code == 200


async def test_all_that_fails_is_named_without_any_text_of_an_exception(tmp_path: Path) -> None:
    settings = Settings(
        openai_base_url="http://127.0.0.1:9/v1", openai_model="m", redis_url="redis://127.0.0.1:9", data_dir=tmp_path
    )
    async with serve_api(settings, PATIENT) as api:
        with closing(sqlite3.connect(tmp_path / "chat.db")) as db:
            db.execute("DROP TABLE threads")
        response = await api.get(READY)
        assert failing(response) == ["store", "model", "limits"]
        assert set(json.loads(response.text)) == {
            *("type", "title", "status", "detail", "retryable", "retry_after", "request_id", "failing")
        }
