"""The doctor on the store: one that works, and one fault each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from doctor.__main__ import diagnose
from doctor.findings import Deadlines
from settings import Settings
from stores.cosmos.definitions import CONTAINERS
from tests.doctor.conftest import DATABASE, ROOT, only_problem, problems
from tests.fakes.cosmos import FakeCosmos


async def test_embedded_settings_are_fine(tmp_path: Path) -> None:
    findings = await diagnose(Settings(data_dir=tmp_path))
    assert [finding.subject for finding in findings] == ["settings", "identity", "SQLite", "model", "assistant", "clock"]
    assert not any(finding.fix for finding in findings)


async def test_services_that_work_are_fine_and_left_as_they_were(
    cosmos: FakeCosmos, settings: Settings, with_model: Settings
) -> None:
    both = with_model.model_copy(update={"cosmos_endpoint": cosmos.endpoint, "cosmos_database": DATABASE})
    findings = await diagnose(both)
    assert [finding for finding in findings if finding.fix] == []
    texts = [f"{finding.subject}: {finding.text}" for finding in findings]
    assert "container messages: partition key /thread_id, TTL and index are as the app needs them" in texts
    assert "container threads: a document was written, read and deleted" in texts
    assert any(re.fullmatch(r"model: gpt called a tool after \d+\.\d s", text) for text in texts)
    assert any(re.search(rf"clock: \d s (ahead of|behind) {cosmos.endpoint}", text) for text in texts)
    written = [entry for entry in cosmos.log if entry.kind == "create"]
    assert len(written) == 2
    assert all(entry.body["id"].startswith("doctor_") and entry.body["ttl"] == 60 for entry in written)
    assert cosmos.container("messages").everything() == cosmos.container("threads").everything() == []


async def test_what_the_service_adds_to_an_index_is_no_fault(cosmos: FakeCosmos, settings: Settings) -> None:
    for definition in CONTAINERS:
        policy = cosmos.container(definition.id).definition["indexingPolicy"]
        policy["excludedPaths"].append({"path": '/"_etag"/?'})
        policy["includedPaths"].reverse()
    assert await problems(settings) == []


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"PORT": "many", "COSMOS_ENDPOINT": "nowhere"}, 1)])
def test_the_exit_code_tells(tmp_path: Path, environment: dict[str, str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "doctor"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert f"Problems: {len(environment)}" in done.stdout
    for name in environment:
        assert f"PROBLEM  settings: {name}: " in done.stdout


# Cosmos DB


async def test_a_wrong_partition_key(cosmos: FakeCosmos, settings: Settings) -> None:
    cosmos.container("messages").definition["partitionKey"]["paths"] = ["/id"]
    problem = await only_problem(settings)
    assert problem.subject == "container messages"
    assert problem.text.startswith("its partition key is ['/id'], not /thread_id")
    assert "az cosmosdb sql database create" in (problem.fix or "")
    assert f"set COSMOS_DATABASE to {DATABASE}_2; what is in this one stays" in (problem.fix or "")


async def test_a_wrong_ttl_and_a_wrong_index(cosmos: FakeCosmos, settings: Settings) -> None:
    definition = cosmos.container("threads").definition
    del definition["defaultTtl"]
    definition["indexingPolicy"]["includedPaths"] = [{"path": "/*"}]
    ttl, index = await problems(settings)
    assert (ttl.subject, ttl.text) == ("container threads", "its default TTL is None, not -1")
    assert (ttl.fix or "").endswith("--name threads --ttl -1")
    assert index.text == "its index is not /owner_id/?, /sort/?, /status/?, /deleting/?, /open/turn_id/? alone"
    assert '"path": "/sort/?"' in (index.fix or "")


async def test_a_missing_container(cosmos: FakeCosmos, settings: Settings) -> None:
    del cosmos.databases[DATABASE]["threads"]
    problem = await only_problem(settings)
    assert (problem.subject, problem.text) == ("container threads", "is missing")
    assert "az cosmosdb sql container create --account-name 127 --resource-group" in (problem.fix or "")
    assert f"--database-name {DATABASE} --name threads --partition-key-path /owner_id" in (problem.fix or "")


async def test_a_missing_database(settings: Settings) -> None:
    problem = await only_problem(settings.model_copy(update={"cosmos_database": "other one"}))
    assert problem.text == "the database other one is missing (404)"
    assert (problem.fix or "").endswith("--name 'other one'")


async def test_a_key_that_is_refused(cosmos: FakeCosmos, settings: Settings) -> None:
    cosmos.fail("account", status=401, times=9)
    problem = await only_problem(settings)
    assert problem.text == "the key is refused (401)"
    assert "az cosmosdb keys list --name 127" in (problem.fix or "")


@pytest.mark.parametrize(("kind", "verb"), [("create", "write"), ("read", "read"), ("delete", "delete")])
async def test_a_role_that_lacks_a_right(cosmos: FakeCosmos, settings: Settings, kind: Any, verb: str) -> None:
    cosmos.fail(kind, "messages", status=403)
    problem = await only_problem(settings)
    assert problem.text.startswith(f"cannot {verb} a document: access is denied (403)")
    assert "--role-definition-id 00000000-0000-0000-0000-000000000002" in (problem.fix or "")


async def test_an_account_that_is_not_there(settings: Settings) -> None:
    problem = await only_problem(settings.model_copy(update={"cosmos_endpoint": "http://127.0.0.1:9/"}))
    assert "http://127.0.0.1:9/ cannot be used" in problem.text


async def test_an_account_that_hangs(cosmos: FakeCosmos, settings: Settings) -> None:
    cosmos.fail("account", hold=True, times=99)
    problem = await only_problem(settings, Deadlines(check=1, clock=0.1))
    assert (problem.subject, problem.text) == ("store", "no answer within 1 seconds")
