"""The doctor, on services that work and on services with one fault each."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from azure.core.credentials import AccessTokenInfo

import doctor.findings
import doctor.machine
from cosmos_store import CosmosStore
from doctor.__main__ import diagnose
from doctor.findings import Finding
from models import utcnow
from settings import Settings
from stores.cosmos.documents import CONTAINERS
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_identity import FakeIdentity, self_signed
from tests.fakes.model import FakeModel, Reply
from tests.fakes.redis import RedisServer, needs_redis

ROOT = Path(__file__).parents[2]
DATABASE = "chat_db"
PRINCIPAL = "11111111-2222-3333-4444-555555555555"


class NoCredential(FakeIdentity):
    """A credential of the chain that is not there."""

    async def get_token_info(self, *scopes: str, **_: Any) -> AccessTokenInfo:
        raise ConnectionError("secret details")


class Someone(FakeIdentity):
    """A credential of the chain that works."""

    async def get_token_info(self, *scopes: str, **options: Any) -> AccessTokenInfo:
        expires = (await super().get_token_info(*scopes, **options)).expires_on
        return AccessTokenInfo(jwt.encode({"oid": PRINCIPAL}, "a key that nobody knows, of 32 bytes"), expires)


class Chain(Someone):
    """Stands in for ``DefaultAzureCredential``, which tries one after the other."""

    def __init__(self, *credentials: FakeIdentity) -> None:
        super().__init__()
        self.credentials = credentials


@pytest.fixture
async def cosmos() -> AsyncIterator[FakeCosmos]:
    async with FakeCosmos() as fake:
        async with CosmosStore(fake.endpoint, database=DATABASE, credential=KEY):
            pass
        yield fake


@pytest.fixture
def settings(cosmos: FakeCosmos) -> Settings:
    return Settings(cosmos_endpoint=cosmos.endpoint, cosmos_key=KEY, cosmos_database=DATABASE)


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with FakeModel(Reply("OK.")) as fake:
        yield fake


@pytest.fixture
def with_model(model: FakeModel) -> Settings:
    return Settings(
        azure_openai_endpoint=model.url, azure_openai_api_key="secret-key", azure_openai_model="gpt", cosmos_key=KEY
    )


async def problems(settings: Settings) -> list[Finding]:
    """Return what the doctor finds wrong; whatever it says is a command that a shell can read, and no secret."""
    findings = await diagnose(settings)
    for finding in findings:
        assert not re.search(r"secret|hunter2", str(finding))
        assert KEY not in str(finding)
        if finding.fix:
            shell = await asyncio.create_subprocess_exec("bash", "-n", "-c", finding.fix)
            assert await shell.wait() == 0
    return [finding for finding in findings if finding.fix]


async def only_problem(settings: Settings) -> Finding:
    (problem,) = await problems(settings)
    return problem


# Nothing wrong


async def test_embedded_settings_are_fine(tmp_path: Path) -> None:
    findings = await diagnose(Settings(data_dir=tmp_path))
    assert [finding.subject for finding in findings] == ["settings", "identity", "SQLite", "model", "tools", "clock"]
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
    assert any(re.fullmatch(r"model: gpt answered after \d+\.\d s", text) for text in texts)
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
    assert f"Faults: {len(environment)}" in done.stdout
    for name in environment:
        assert f"FAULT  settings: {name}: " in done.stdout


# Cosmos DB


async def test_a_wrong_partition_key(cosmos: FakeCosmos, settings: Settings) -> None:
    cosmos.container("messages").definition["partitionKey"]["paths"] = ["/id"]
    problem = await only_problem(settings)
    assert problem.subject == "container messages"
    assert problem.text.startswith("its partition key is ['/id'], not /thread_id")
    assert "az cosmosdb sql container delete" in (problem.fix or "")
    assert "--partition-key-path /thread_id --ttl -1" in (problem.fix or "")


async def test_a_wrong_ttl_and_a_wrong_index(cosmos: FakeCosmos, settings: Settings) -> None:
    definition = cosmos.container("threads").definition
    del definition["defaultTtl"]
    definition["indexingPolicy"]["includedPaths"] = [{"path": "/*"}]
    ttl, index = await problems(settings)
    assert (ttl.subject, ttl.text) == ("container threads", "its default TTL is None, not -1")
    assert (ttl.fix or "").endswith("--name threads --ttl -1")
    assert index.text == "its index is not /owner_id/?, /sort/?, /status/?, /deleting/? alone"
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


async def test_an_account_that_hangs(cosmos: FakeCosmos, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.findings, "CHECK_SECONDS", 1)
    monkeypatch.setattr(doctor.machine, "CLOCK_SECONDS", 0.1)
    cosmos.fail("account", hold=True, times=99)
    problem = await only_problem(settings)
    assert (problem.subject, problem.text) == ("store", "no answer within 1 seconds")


# Identity


async def test_an_identity_is_named_and_the_role_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", lambda: Chain(NoCredential(), Someone()))
    async with FakeCosmos(tls=self_signed(tmp_path)) as fake:
        async with CosmosStore(fake.endpoint, database=DATABASE, credential=KEY):
            pass
        keyless = Settings(cosmos_endpoint=fake.endpoint, cosmos_database=DATABASE)
        findings = await diagnose(keyless)
        assert "identity: Someone gives a token for Cosmos DB" in [f"{each.subject}: {each.text}" for each in findings]
        assert not any(finding.fix for finding in findings)
        fake.fail("database", status=403)
        problem = await only_problem(keyless)
        assert "access is denied (403)" in problem.text
        assert f"--principal-id {PRINCIPAL} --scope /" in (problem.fix or "")


@pytest.mark.parametrize(("site", "fix"), [(None, "az login"), ("chat-1", "az functionapp identity assign --name chat-1 ")])
async def test_no_identity(monkeypatch: pytest.MonkeyPatch, model: FakeModel, site: str | None, fix: str) -> None:
    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", lambda: Chain(NoCredential(), NoCredential()))
    keyless = Settings(azure_openai_endpoint=model.url, azure_openai_model="gpt").model_copy(update={"website_site_name": site})
    found = next(finding for finding in await problems(keyless) if finding.subject == "identity")
    tried = "NoCredential (ConnectionError), NoCredential (ConnectionError)"
    assert found.text == f"no token for Azure OpenAI from {tried}"
    assert (found.fix or "").startswith(fix)


async def test_an_identity_without_a_role_on_the_model(monkeypatch: pytest.MonkeyPatch, model: FakeModel) -> None:
    monkeypatch.setattr("azure.identity.aio.DefaultAzureCredential", lambda: Chain(Someone()))
    model.replies = [Reply(status=403)]
    problem = await only_problem(Settings(azure_openai_endpoint=model.url, azure_openai_model="gpt"))
    assert problem.text == "access is denied (403)"
    assert f"--role 'Cognitive Services OpenAI User' --assignee-object-id {PRINCIPAL}" in (problem.fix or "")


# The model


@pytest.mark.parametrize(
    ("status", "text", "fix"),
    [
        (401, "access is denied (401)", "az cognitiveservices account keys list"),
        (404, "there is no deployment gpt (404)", "az cognitiveservices account deployment list"),
        (429, "its quota is used up (429)", "--deployment-name gpt --query sku"),
        (500, "cannot be used (status 500)", "az cognitiveservices account show"),
    ],
)
async def test_a_deployment_that_fails(model: FakeModel, with_model: Settings, status: int, text: str, fix: str) -> None:
    model.replies = [Reply(status=status)]
    problem = await only_problem(with_model)
    assert problem.subject == "model"
    assert text in problem.text
    assert fix in (problem.fix or "")
    assert len(model.requests) == 1


async def test_an_address_without_the_api(model: FakeModel, with_model: Settings) -> None:
    model.models = Reply(status=404)
    problem = await only_problem(with_model)
    assert problem.text == f"{model.url}/openai/v1/ has no such API (404)"
    assert model.requests == []


@pytest.mark.parametrize(
    ("status", "fix"),
    [(401, "export OPENAI_API_KEY="), (404, "set OPENAI_MODEL"), (429, "again later"), (503, "OPENAI_BASE_URL")],
)
async def test_a_compatible_server_that_fails(model: FakeModel, status: int, fix: str) -> None:
    model.replies = [Reply(status=status)]
    settings = Settings(openai_base_url=f"{model.url}/v1", openai_api_key="secret", openai_model="m")
    assert fix in ((await only_problem(settings)).fix or "")


# Near this machine


@needs_redis
async def test_redis_up_and_down(tmp_path: Path) -> None:
    async with RedisServer(tmp_path) as redis:
        settings = Settings(redis_url=redis.url.replace("redis://", "redis://:hunter2@"), data_dir=tmp_path)
        assert await problems(settings) == []
        await redis.stop()
        problem = await only_problem(settings)
        assert (problem.subject, problem.text) == ("Redis", "failed with ConnectionError")
        assert problem.fix == 'redis-cli -u "$REDIS_URL" ping'


@pytest.mark.parametrize(("skew", "words"), [(90, "ahead of"), (-90, "behind")])
async def test_a_clock_that_is_wrong(settings: Settings, monkeypatch: pytest.MonkeyPatch, skew: int, words: str) -> None:
    monkeypatch.setattr(doctor.machine, "utcnow", lambda: utcnow() + timedelta(seconds=skew))
    problem = await only_problem(settings)
    assert problem.subject == "clock"
    assert words in problem.text


async def test_no_articles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.machine, "FOLDER", tmp_path)
    problem = await only_problem(Settings(data_dir=tmp_path))
    assert problem.text == f"{tmp_path} has no articles"


async def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "chat.db").write_text, "no database, and longer than a header of one would be")
    problem = await only_problem(Settings(data_dir=tmp_path))
    assert (problem.subject, problem.text) == ("store", "failed with StoreMisconfigured")
