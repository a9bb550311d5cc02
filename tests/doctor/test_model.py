"""The doctor on a model that answers, but not as the app needs it: it is asked for a call of a tool."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from doctor.__main__ import diagnose
from doctor.findings import Deadlines
from doctor.model_fixes import ModelFixes
from settings import Settings
from tests.doctor.conftest import ROOT, only_problem, problems
from tests.fakes.model import Call, FakeModel, Reply
from tests.fakes.responses_model import FakeResponses
from tests.support.agent import agent_on, run

OLLAMA_TOOLS = {"error": {"message": "registry.ollama.ai/library/gemma:2b does not support tools", "type": "api_error"}}
LLAMA_CPP_TOOLS = {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}
VLLM_TOOLS = {
    "object": "error",
    "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    "type": "BadRequestError",
    "code": 400,
}
CONTEXT = {"error": {"code": 400, "message": "exceeds the available context size", "type": "exceed_context_size_error"}}
PARAMETER = {
    "error": {
        "message": "Unsupported parameter: 'model_options' is not supported with this model.",
        "type": "invalid_request_error",
        "param": "model_options",
        "code": "unsupported_parameter",
    }
}
# What llama-cpp-python's server says, and a server that knows no such parameter.
NO_STREAM = {"error": {"message": "Automatic streaming tool choice is not supported", "type": "internal_server_error"}}
NO_USAGE = {"error": {**PARAMETER["error"], "message": "Unknown parameter.", "param": "stream_options"}}


@pytest.fixture
def settings(model: FakeModel, tmp_path: Path) -> Settings:
    return Settings(openai_base_url=f"{model.url}/v1", openai_api_key="secret", openai_model="m", data_dir=tmp_path)


def refusing(status: int, body: Any) -> Reply:
    return Reply(status=status, body=json.dumps(body).encode())


def listing(*entries: dict[str, Any], name: str = "data") -> Reply:
    return Reply(body=json.dumps({name: list(entries)}).encode())


@pytest.mark.parametrize("chosen", [{}, {"reasoning_effort": "high", "model_temperature": 1, "model_max_output_tokens": 900}])
async def test_the_doctor_asks_as_the_app_does(model: FakeModel, settings: Settings, chosen: dict[str, Any]) -> None:
    await diagnose(settings.model_copy(update=chosen))
    async with FakeModel(Reply("Hello")) as other, agent_on(other, **chosen) as agent:
        await run(agent, stream=True)
        asked, (sent,) = model.requests[0], other.requests
    assert asked.keys() == sent.keys()
    for parameter in sent.keys() - {"messages", "tools", "model"}:
        assert asked[parameter] == sent[parameter]
    assert [message["role"] for message in asked["messages"]] == [message["role"] for message in sent["messages"]]
    assert asked["tools"][0].keys() == sent["tools"][0].keys()


@pytest.mark.parametrize(("status", "body"), [(400, OLLAMA_TOOLS), (500, LLAMA_CPP_TOOLS), (400, VLLM_TOOLS)])
async def test_a_server_without_tools(model: FakeModel, settings: Settings, status: int, body: Any) -> None:
    model.replies = [refusing(status, body)]
    problem = await only_problem(settings)
    sentence = body.get("error", body)["message"]
    assert problem.text == f'the model m, or its server, does not support tools; it said "{sentence}"'
    assert "set OPENAI_MODEL to one that can call tools" in (problem.fix or "")


async def test_a_model_that_passes_over_the_tool(model: FakeModel, settings: Settings) -> None:
    model.replies = [Reply("I cannot do that.")]
    problem = await only_problem(settings)
    assert problem.text.startswith("m answered, but did not call the tool")
    assert "--enable-auto-tool-choice" in (problem.fix or "")


@pytest.mark.parametrize(
    ("text", "is_told"), [("I shall call it.\n</think>\n\n", False), ("<think>Hm.</think>", True), ("Now:", True)]
)
async def test_thoughts_that_the_server_leaves_in_the_text(
    model: FakeModel, settings: Settings, text: str, is_told: bool
) -> None:
    model.replies = [Reply(text, calls=(Call("report_health", '{"status": "ok"}'),))]
    found = await problems(settings)
    assert [each.text for each in found] == ([] if is_told else ["m thinks in its text, where users would read it"])
    assert is_told or "vLLM: --reasoning-parser" in (found[0].fix or "")


@pytest.mark.parametrize("status", [400, 422])
async def test_a_model_that_needs_other_settings(model: FakeModel, settings: Settings, status: int) -> None:
    model.replies = [refusing(status, PARAMETER)]
    problem = await only_problem(settings)
    sentence = PARAMETER["error"]["message"]
    assert problem.text == f'the model m refuses what the app sends ({status}); it said "{sentence}"'
    assert "set OPENAI_MODEL" in (problem.fix or "")


async def test_an_error_in_the_answer(model: FakeModel, settings: Settings) -> None:
    body = b'data: {"error": {"message": "Extra inputs", "code": 400}}\n\n'
    model.replies = [Reply(body=body, headers={"content-type": "text/event-stream"})]
    problem = await only_problem(settings)
    assert problem.text == 'the model m refuses what the app sends (in its answer); it said "Extra inputs"'


RESULT_FAULTS = [
    (refusing(500, {"error": {"message": "content: Input should be a valid string"}}), "the model m fails (500); it said"),
    (refusing(400, {"error": {"message": "roles must alternate"}}), "the model m refuses what the app sends (400); it said"),
    (refusing(429, {}), "its quota is used up (429)"),
    (Reply(drop=True), "the answer of the model m cannot be read: the connection was closed before its end"),
]


@pytest.mark.parametrize(("reply", "told"), RESULT_FAULTS)
async def test_a_server_that_takes_no_results(model: FakeModel, settings: Settings, reply: Reply, told: str) -> None:
    model.replies.append(reply)
    problem = await only_problem(settings)
    assert problem.text.startswith(f"m called a tool, but told its result, {told}")


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_a_call_without_an_id_is_told_its_result_under_one(tmp_path: Path, api: str) -> None:
    calls = (Call("report_health", '{"status": "ok"}', id=""),)
    fake = FakeResponses if api == "responses" else FakeModel
    async with fake(Reply(calls=calls), Reply("ok")) as model:
        given = {"openai_base_url": f"{model.url}/v1", "openai_model": "m", "data_dir": tmp_path, "model_api": api}
        assert await problems(Settings.model_validate(given)) == []
        assert len(model.requests) == 2


NO_ANSWERS = [
    (Reply(body=b"data: <html>\n\n"), "it is no JSON"),
    (Reply(body=b'data: {"choices": [{"delta": {"content"\n\n'), "it is no JSON"),
    (Reply(body=b"data: " + b"[" * 100_000 + b"\n\n"), "it is no JSON"),
    (Reply(body=b"data: []\n\n"), "a field is missing, or of another type"),
    (Reply(body=b'data: {"choices": {"a": 1}}\n\n'), "a field is missing, or of another type"),
    (Reply(body=b'data: {"choices": [{"delta": {"content": 5}}]}\n\n'), "a field is missing, or of another type"),
    (Reply(body=b"<html>"), "it has no end"),
    (Reply(drop=True), "the connection was closed before its end"),
    (
        Reply(body=b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n', headers={"content-length": "9000"}),
        "the connection was closed before its end",
    ),
]


@pytest.mark.parametrize(("reply", "told"), NO_ANSWERS, ids=lambda each: str(each)[:40])
async def test_an_answer_that_is_none(model: FakeModel, settings: Settings, reply: Reply, told: str) -> None:
    model.replies = [reply]
    problem = await only_problem(settings)
    assert problem.text == f"the answer of the model m cannot be read: {told}"
    assert (problem.fix or "").startswith(f"curl -sS {model.url}/v1/chat/completions -H ")
    assert "the server's log" in (problem.fix or "")


@pytest.mark.parametrize(("key", "bearer"), [("secret", "$AZURE_OPENAI_API_KEY"), (None, "$(az account get-access-token ")])
def test_what_shows_an_answer_of_azure(key: str | None, bearer: str) -> None:
    given = {"azure_openai_endpoint": "https://x.openai.azure.com", "azure_openai_model": "m", "azure_openai_api_key": key}
    fix = ModelFixes(Settings.model_validate(given), "https://x.openai.azure.com/openai/v1", "me").question()
    assert fix.startswith(f'curl -sS https://x.openai.azure.com/openai/v1/chat/completions -H "Authorization: Bearer {bearer}')


async def test_an_answer_of_another_api(tmp_path: Path) -> None:
    settings = {"openai_model": "m", "data_dir": tmp_path, "model_api": "responses"}
    async with FakeResponses(Reply(body=b'data: {"choices": []}\n\n')) as model:
        problem = await only_problem(Settings.model_validate({**settings, "openai_base_url": f"{model.url}/v1"}))
        assert problem.text == "the answer of the model m cannot be read: a field is missing, or of another type"
        assert (problem.fix or "").startswith(f"curl -sS {model.url}/v1/responses -H ")
        model.replies = [refusing(404, {"detail": "Not Found"})]
        problem = await only_problem(Settings.model_validate({**settings, "openai_base_url": f"{model.url}/v1"}))
        assert problem.text == f'{model.url}/v1 has no Responses API (404); it said "Not Found"'
        assert problem.fix == "export MODEL_API=chat"
        model.replies = [refusing(404, {"error": {"code": "model_not_found", "message": "No such model."}})]
        problem = await only_problem(Settings.model_validate({**settings, "openai_base_url": f"{model.url}/v1"}))
        assert problem.text == 'there is no model m (404); it said "No such model."'


async def test_a_context_that_is_too_small_for_a_question(model: FakeModel, settings: Settings) -> None:
    model.replies = [refusing(400, CONTEXT)]
    problem = await only_problem(settings)
    assert problem.text.startswith("the context of the model m is too small even for a question of a line")
    assert 'it said "exceeds the available context size"' in problem.text


@pytest.mark.parametrize(
    "entries",
    [
        [{"id": "other", "max_model_len": 99_000}, {"id": "m", "max_model_len": 4096}],
        [{"id": "/models/file.gguf", "meta": {"n_ctx": 4096, "n_ctx_train": 131_072}}],
        [{"id": "m", "context_length": 4096}],
    ],
)
async def test_a_context_that_the_server_tells_of(model: FakeModel, settings: Settings, entries: list[dict[str, Any]]) -> None:
    model.models = listing(*entries)
    problem = await only_problem(settings)
    assert problem.text.startswith("its context of 4096 tokens is too small for HISTORY_MAX_TOKENS (16000)")
    assert (problem.fix or "").startswith("export HISTORY_MAX_TOKENS=2048  #")
    assert await problems(settings.model_copy(update={"history_max_tokens": 2048})) == []


@pytest.mark.parametrize("loaded", ["m", "m:latest"])
async def test_a_context_that_ollama_would_cut_to(model: FakeModel, settings: Settings, loaded: str) -> None:
    model.loaded = listing({"name": "x", "context_length": 64}, {"name": loaded, "context_length": 4096}, name="models")
    problem = await only_problem(settings)
    assert problem.text.startswith("its context of 4096 tokens is too small")
    assert "OLLAMA_CONTEXT_LENGTH" in (problem.fix or "")


@pytest.mark.parametrize(
    "told",
    [
        Reply(body=b"<html>"),
        Reply(body=b"[]"),
        listing({"id": "a", "max_model_len": 9}, {"id": "b", "max_model_len": 9}),
        listing({"id": "m", "meta": None, "max_model_len": "4096"}),
        listing({"id": "m", "max_model_len": 32_768}),
    ],
)
async def test_a_context_that_is_not_told_or_large_enough_is_no_fault(
    model: FakeModel, settings: Settings, told: Reply
) -> None:
    model.models = told
    model.loaded = told
    assert await problems(settings) == []


async def test_a_model_that_takes_too_long(model: FakeModel, settings: Settings) -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    model.replies = [Reply(wait=wait)]
    problem = await only_problem(settings, Deadlines(check=0.5, clock=0.1))
    assert problem.text == "no answer within 0.5 seconds"
    assert (problem.fix or "").startswith(f"curl -sS {model.url}/v1/models ")
    assert "loads its model first" in (problem.fix or "")


async def test_a_key_in_what_the_server_says_is_left_out(model: FakeModel, settings: Settings) -> None:
    model.replies = [refusing(401, {"error": {"message": "Incorrect API key: secret. See sk-abc****xyz"}})]
    problem = await only_problem(settings)
    assert problem.text == 'access is denied (401); it said "Incorrect API key: …. See …"'


def test_the_doctor_advises_nothing_that_throws_work_away() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "doctor").glob("*.py"))
    assert not re.search(r"git (restore|checkout|reset|clean|stash)|\brm\b|\b(container|database|account) delete\b", source)


async def test_a_setting_that_the_model_refuses_is_named(model: FakeModel, settings: Settings) -> None:
    error = {
        "message": "Unsupported value.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "unsupported_value",
    }
    model.replies = [Reply(status=400, error=error)]
    problem = await only_problem(settings.model_copy(update={"model_temperature": 1.5}))
    assert "refuses what MODEL_TEMPERATURE asks for" in problem.text
    assert problem.fix == "unset MODEL_TEMPERATURE  # or another value"


async def test_the_model_may_call_in_several_pieces(model: FakeModel, settings: Settings) -> None:
    model.replies = [Reply("One moment.", calls=(Call("report_health", '{"status": "ok"}'),))]
    assert await problems(settings) == []


# llama-cpp-python's server 0.3.36 says only in its own log what is wrong: its stream is empty.
@pytest.mark.parametrize("refusal", [refusing(500, NO_STREAM), refusing(500, NO_USAGE), Reply(body=b"")])
async def test_a_server_that_cannot_stream_with_tools_is_asked_without(refusal: Reply, tmp_path: Path) -> None:
    class Server(FakeModel):
        def reply_to(self, request: dict[str, Any]) -> Reply:
            return refusal if request.get("stream") else super().reply_to(request)

    called = Reply(calls=(Call("report_health", '{"status": "ok"}'),))
    async with Server(called) as model:
        given = {"openai_base_url": f"{model.url}/v1", "openai_model": "m", "data_dir": tmp_path}
        problem = await only_problem(Settings.model_validate(given))
        assert "cannot stream with tools" in problem.text
        assert problem.fix == "export MODEL_STREAM=off"
        assert await problems(Settings.model_validate({**given, "model_stream": "off"})) == []
