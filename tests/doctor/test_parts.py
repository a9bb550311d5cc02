"""The doctor on identity, model, limits, clock and files: one fault each."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import doctor.machine
from cosmos_store import CosmosStore
from doctor.__main__ import diagnose
from models import utcnow
from settings import Settings
from tests.doctor.conftest import DATABASE, PRINCIPAL, Chain, NoCredential, Someone, only_problem, problems
from tests.fakes.cosmos import KEY, FakeCosmos
from tests.fakes.cosmos_identity import self_signed
from tests.fakes.model import FakeModel, Reply
from tests.fakes.redis import RedisServer, needs_redis
from tests.support.assistant_folder import HARBOUR
from tests.support.tools import assistant_with


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
    assert problem.text == 'access is denied (403); it said "failed"'
    assert f"--role 'Cognitive Services OpenAI User' --assignee-object-id {PRINCIPAL}" in (problem.fix or "")


# The model


@pytest.mark.parametrize(
    ("status", "text", "fix"),
    [
        (401, "access is denied (401)", "az cognitiveservices account keys list"),
        (404, "there is no deployment gpt (404)", "az cognitiveservices account deployment list"),
        (429, "its quota is used up (429)", "--deployment-name gpt --query sku"),
        (500, "the deployment gpt fails (500)", "$AZURE_OPENAI_API_KEY"),
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
    assert problem.text == f'{model.url}/openai/v1 has no such API (404); it said "failed"'
    assert model.requests == []


@pytest.mark.parametrize(
    ("status", "fix"),
    [(401, "export OPENAI_API_KEY="), (404, "set OPENAI_MODEL"), (429, "again later"), (503, "/v1/chat/completions")],
)
async def test_a_compatible_server_that_fails(model: FakeModel, status: int, fix: str) -> None:
    model.replies = [Reply(status=status)]
    settings = Settings(openai_base_url=f"{model.url}/v1", openai_api_key="secret", openai_model="m")
    assert fix in ((await only_problem(settings)).fix or "")


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (404, {"error": "model 'm' not found, try pulling it first"}, "model 'm' not found, try pulling it first"),
        (404, "model 'm' not found, try pulling it first", "model 'm' not found, try pulling it first"),
        (404, {"error": {"message": "The model m does not exist", "code": "model_not_found"}}, "The model m does not exist"),
        (400, {"error": {"message": "Invalid model", "code": "model_not_found"}}, "Invalid model"),
        (404, {"detail": '{"error": {"message": "The model m does not exist."}}'}, "The model m does not exist."),
        (404, [{"error": {"code": 404, "message": "model m is not found"}}], "model m is not found"),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
async def test_a_model_that_the_server_does_not_know(
    model: FakeModel, tmp_path: Path, status: int, body: Any, sentence: str, listed: bool
) -> None:
    refusal = Reply(status=status, body=json.dumps(body).encode())
    if listed:
        model.replies = [refusal]
    else:
        model.models = refusal
    problem = await only_problem(Settings(openai_base_url=f"{model.url}/v1", openai_model="m", data_dir=tmp_path))
    assert problem.text == f'there is no model m ({status}); it said "{sentence}"'
    assert "set OPENAI_MODEL to" in (problem.fix or "")


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    problem = await only_problem(Settings(openai_base_url=address, openai_model="m", data_dir=tmp_path))
    assert problem.text == f"{address} cannot be used (connection refused): check the address and the network"
    assert "correct OPENAI_BASE_URL" in (problem.fix or "")


async def test_the_doctor_tells_no_credentials_of_an_address(model: FakeModel, tmp_path: Path) -> None:
    """Audit L3."""
    address = model.url.replace("http://", "http://ann:KILI@")
    settings = Settings(openai_base_url=f"{address}/v1", openai_model="m", data_dir=tmp_path)
    told = "\n".join(map(str, await diagnose(settings)))
    assert f"{model.url}/v1 " in told
    assert "KILI" not in told


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


async def test_an_assistant_that_cannot_be_used(tmp_path: Path) -> None:
    problem = await only_problem(Settings(data_dir=tmp_path, assistant_dir=tmp_path))
    assert problem.text.startswith(f"{tmp_path / 'assistant.toml'}: cannot be read")
    assert problem.fix == f"${{EDITOR:-vi}} {tmp_path / 'assistant.toml'}"


async def test_an_assistants_folder_that_is_not_there(tmp_path: Path) -> None:
    problem = await only_problem(Settings(data_dir=tmp_path, assistant_dir=tmp_path / "nowhere"))
    assert problem.text == f"ASSISTANT_DIR: there is no folder {tmp_path / 'nowhere'}"
    assert problem.fix == "export ASSISTANT_DIR=…"


async def test_a_tools_variable_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """from tools.settings import ToolSettings
from tools.tool import tool

class LedgerSettings(ToolSettings):
    ledger_token: str
    ledger_limit: int = 3

@tool(title={"en": "Balance"}, settings=LedgerSettings)
def balance(account: str, settings: LedgerSettings) -> str:
    "Tell a balance."
"""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "package_of_balance"
    package.mkdir()
    await asyncio.to_thread((package / "ledger.py").write_text, code)
    given = Settings(data_dir=tmp_path, assistant_dir=assistant_with(tmp_path, "package_of_balance.ledger"))
    problem = await only_problem(given)
    assert problem.text == "tool package_of_balance.ledger: LEDGER_TOKEN: Field required"
    assert problem.fix == "export LEDGER_TOKEN=…"
    monkeypatch.setenv("LEDGER_LIMIT", "many")
    assert (await only_problem(given)).fix == "export LEDGER_TOKEN=…; export LEDGER_LIMIT=…"


async def test_an_article_that_lacks_a_field(tmp_path: Path) -> None:
    folder = shutil.copytree(HARBOUR.folder, tmp_path / "assistant")
    article = folder / "articles" / "fees.md"
    await asyncio.to_thread(article.write_text, "---\nid: fees\ntitle: Fees\n---\n\nText\n")
    problem = await only_problem(Settings(data_dir=tmp_path, assistant_dir=folder))
    assert problem.text == f"tool knowledge_base: {article}: the front matter lacks category, url"
    assert problem.fix == f"${{EDITOR:-vi}} {article}"


async def test_two_tools_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(HARBOUR.folder, tmp_path / "assistant")
    file = tmp_path / "assistant" / "assistant.toml"
    (tmp_path / "two_tools").mkdir()
    for name in ("first", "second"):
        code = 'from tools.tool import tool\n\n@tool(title={"en": "Find"})\ndef find(word: str) -> str:\n    "Find."\n'
        await asyncio.to_thread((tmp_path / "two_tools" / f"{name}.py").write_text, code)
    text = re.sub(r"(?m)^tools = .*$", 'tools = ["two_tools.first", "two_tools.second"]', file.read_text())
    await asyncio.to_thread(file.write_text, text)
    monkeypatch.syspath_prepend(tmp_path)
    problem = await only_problem(Settings(data_dir=tmp_path, assistant_dir=file.parent))
    first, second = (tmp_path / "two_tools" / f"{name}.py" for name in ("first", "second"))
    assert problem.text == (f"tool find ({second}:3): there is another tool find ({first}:3): give one of them another name")
    assert problem.fix == f"${{EDITOR:-vi}} {second}"


async def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "chat.db").write_text, "no database, and longer than a header of one would be")
    problem = await only_problem(Settings(data_dir=tmp_path))
    assert (problem.subject, problem.text) == ("SQLite", f"{tmp_path / 'chat.db'} cannot be used: file is not a database")


async def test_a_file_of_a_newer_version(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "chat.db")) as db:
        db.execute("PRAGMA user_version = 99")
    problem = await only_problem(Settings(data_dir=tmp_path))
    assert "its schema is version 99, newer than this program's" in problem.text
