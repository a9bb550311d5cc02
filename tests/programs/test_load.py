"""The load test without Locust: its users against a real server, its configuration, and how `make load` judges."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import requests
import yaml

from identity.api_keys import make_key
from settings import Settings
from tests.fakes.model import FakeModel, Reply
from tests.programs.load import __main__ as load
from tests.support.server import serve_api


class Answer:
    """What Locust gives for ``catch_response=True``: the response, which can be declared a failure."""

    def __init__(self, response: requests.Response, failures: list[str]) -> None:
        self._response = response
        self.failure = failures.append
        self.request_meta: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)


class Client(requests.Session):
    """Locust's client: paths instead of addresses, and names under which requests are counted."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self.base_url = base_url
        self.names: set[str] = set()
        self.failures: list[str] = []

    def request(self, method: Any, url: Any, **options: Any) -> Any:  # type: ignore[override]  # as it is called here
        self.names.add(options.pop("name"))
        caught = options.pop("catch_response", False)
        response = super().request(method, f"{self.base_url}{url}", timeout=30, **options)
        if not caught:
            response.raise_for_status()
            return response
        if not response.ok:
            self.failures.append(str(response.status_code))
        return self._catching(Answer(response, self.failures))

    @contextmanager
    def _catching(self, answer: Answer) -> Any:
        yield answer


class HttpUser:
    """Locust's base class of users."""

    def __init__(self, base_url: str) -> None:
        self.client = Client(base_url)
        self.measured: list[dict[str, Any]] = []
        fire = lambda **measurement: self.measured.append(measurement)  # noqa: E731 - as short as what it stands in for
        self.environment = SimpleNamespace(events=SimpleNamespace(request=SimpleNamespace(fire=fire)))


@pytest.fixture
def locustfile(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    stand_in = ModuleType("locust")
    stand_in.__dict__.update(HttpUser=HttpUser, between=lambda *_: None)
    monkeypatch.setitem(sys.modules, "locust", stand_in)
    spec = importlib.util.spec_from_file_location("locustfile", load.FOLDER / "locustfile.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def live(locustfile: ModuleType, base_url: str) -> Any:
    """Let a user do each of its tasks once; return the user."""
    user = locustfile.ChatUser(base_url)
    user.on_start()
    for do in user.tasks:
        do(user)
    user.on_stop()
    user.client.close()
    return user


async def test_a_user_does_everything_without_a_failure(
    locustfile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, entry = make_key("load", "test", ["chat"], None)
    monkeypatch.setenv("CHAT_API_KEY", key)
    async with serve_api(Settings(data_dir=tmp_path, api_keys=(entry,))) as api:
        user = await asyncio.to_thread(live, locustfile, str(api.base_url).rstrip("/"))
        assert user.client.failures == []
        assert len(user.client.names) == 6
        (first_text,) = user.measured
        assert (first_text["request_type"], first_text["name"]) == (load.OURS, "first text of a stream")
        assert first_text["response_time"] > 0


async def test_turns_that_fail_are_failures(locustfile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAT_API_KEY", raising=False)
    monkeypatch.delenv("CHAT_TOKEN", raising=False)
    async with FakeModel(Reply(status=400)) as model:
        settings = Settings(openai_base_url=f"{model.url}/v1", openai_model="m", data_dir=tmp_path)
        async with serve_api(settings) as api:
            user = await asyncio.to_thread(live, locustfile, str(api.base_url).rstrip("/"))
    assert len(user.client.failures) == 2
    assert user.measured == []


def test_azure_load_testing_can_take_the_configuration() -> None:
    config = yaml.safe_load((load.FOLDER / "config.yaml").read_text())
    assert (config["version"], config["testType"]) == ("v0.1", "Locust")
    assert (load.FOLDER / config["testPlan"]).exists()
    assert re.fullmatch(r"[a-z0-9_-]{2,50}", config["testId"])
    assert len(config["description"]) <= 100
    assert all(isinstance(each["value"], str) for each in config["env"])
    assert {each["name"] for each in config["env"]} == {"LOCUST_HOST", "LOCUST_USERS", "LOCUST_SPAWN_RATE", "LOCUST_RUN_TIME"}
    assert set(config["autoStop"]) == {"errorPercentage", "timeWindow"}
    assert [f"{name} > {limit:g}" for name, limit in load.criteria().items()] == config["failureCriteria"]
    assert set(load.criteria()) == set(load.summarize([]))


def entry(name: str, times: dict[str, int], failures: int = 0, method: str = "GET") -> dict[str, Any]:
    count = sum(times.values())
    return {"name": name, "method": method, "response_times": times, "num_requests": count, "num_failures": failures}


def test_the_verdict_is_over_all_requests_and_only_those() -> None:
    quick = entry("a", {"10": 900, "20": 60})
    slow = entry("b", {"30000": 40})
    ours = entry("first text", {"90000": 1000}, method=load.OURS)
    measured = load.summarize([quick, slow, ours])
    assert measured == {"percentage(error)": 0, "p95(response_time_ms)": 20}
    assert load.judge(measured) == []
    worse = load.summarize([quick, entry("b", {"30000": 60}, failures=30)])
    assert [each.partition(" is")[0] for each in load.judge(worse)] == ["percentage(error)", "p95(response_time_ms)"]
    assert re.search(r"^b +60 +30 +30000 +30000$", load.table([entry("b", {"30000": 60}, failures=30)]), re.MULTILINE)


def test_no_answer_at_all_is_a_failure() -> None:
    assert len(load.judge(load.summarize([]))) == 2


LOCUST = """#!{python}
import json, sys, urllib.request
given = dict(zip(sys.argv[1:], sys.argv[2:]))
urllib.request.urlopen(given["--host"] + "/api/info").read()
entry = {{"name": "GET /api/info", "method": "GET", "response_times": {{"3": 1}}, "num_requests": 1, "num_failures": 0}}
open(given["--json-file"] + ".json", "w").write(json.dumps([entry]))
"""


async def test_the_table_is_shown_and_not_the_servers_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BASE_URL", raising=False)
    locust = tmp_path / "locust"
    locust.write_text(LOCUST.format(python=sys.executable))
    locust.chmod(0o755)
    assert await load.main(str(locust)) == 0
    told = capfd.readouterr()
    assert re.search(r"^GET /api/info +1 +0 +3 +3$", told.out, re.MULTILINE)
    assert told.err == ""
