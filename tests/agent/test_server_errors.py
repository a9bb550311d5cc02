"""What the servers that people run say where they refuse a request, as they say it, and what becomes of it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from agent.agent import open_agent
from errors import ChatError, ContextOverflow, ModelMisconfigured, ModelThrottled, ModelUnavailable
from identity.azure_credential import AzureCredential
from settings import Settings
from tests.fakes.model import FakeModel, Reply
from tests.support.agent import agent_on, calculate, run
from tests.support.assistant_folder import HARBOUR

QUICK = {"retry-after-ms": "1"}
OLLAMA_TOOLS = {"message": "registry.ollama.ai/library/gemma:2b does not support tools", "type": "api_error", "code": None}
OLLAMA_NATIVE = {"error": "registry.ollama.ai/library/gemma:2b does not support tools"}
LLAMA_CPP_TOOLS = {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}
LLAMA_CPP_CONTEXT = {
    "code": 400,
    "message": "the request exceeds the available context size. try increasing the context size or enable context shift",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 1407,
    "n_ctx": 256,
}
LLAMA_CPP_OLD_CONTEXT = {**LLAMA_CPP_CONTEXT, "code": 500, "type": "server_error"}
VLLM_CONTEXT_WORDS = "This model's maximum context length is 8192 tokens. However, your request has 9000 input tokens."
VLLM_CONTEXT = {"message": VLLM_CONTEXT_WORDS, "type": "BadRequestError", "param": "input_tokens", "code": 400}
VLLM_OLD_CONTEXT = {"object": "error", **VLLM_CONTEXT, "param": None}
VLLM_TOOLS = {
    "object": "error",
    "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}
VLLM_PARAMETER = {
    "object": "error",
    "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]",
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}
OPENAI_PARAMETER = {
    "message": "Unknown parameter: 'stream_options'.",
    "type": "invalid_request_error",
    "param": "stream_options",
    "code": "unknown_parameter",
}
OPENAI_TOOLS = {
    "message": "Unsupported parameter: 'tools' is not supported with this model.",
    "type": "invalid_request_error",
    "param": "tools",
    "code": "unsupported_parameter",
}
OPENAI_CONTEXT = {
    "message": "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
AZURE_ARGUMENT = {
    "message": "Unrecognized request argument supplied: stream_options",
    "type": "invalid_request_error",
    "param": None,
    "code": None,
}
AZURE_OPERATION = {
    "code": "OperationNotSupported",
    "message": "The chatCompletion operation does not work with the specified model, ada.",
}
GROQ_SIZE = {"message": "Request too large for model m: Limit 6000, Requested 9000", "code": "rate_limit_exceeded"}
ANSWERS = [
    (400, {"error": OLLAMA_TOOLS}, ModelMisconfigured),
    (400, OLLAMA_NATIVE, ModelMisconfigured),
    (500, {"error": LLAMA_CPP_TOOLS}, ModelMisconfigured),
    (501, {"error": {"code": 501, "message": "Not here", "type": "not_supported_error"}}, ModelMisconfigured),
    (400, {"error": LLAMA_CPP_CONTEXT}, ContextOverflow),
    (500, {"error": LLAMA_CPP_OLD_CONTEXT}, ContextOverflow),
    (400, {"error": VLLM_CONTEXT}, ContextOverflow),
    (400, VLLM_OLD_CONTEXT, ContextOverflow),
    (400, VLLM_TOOLS, ModelMisconfigured),
    (400, VLLM_PARAMETER, ModelMisconfigured),
    (400, {"error": OPENAI_PARAMETER}, ModelMisconfigured),
    (400, {"error": OPENAI_TOOLS}, ModelMisconfigured),
    (400, {"error": OPENAI_CONTEXT}, ContextOverflow),
    (400, {"error": AZURE_ARGUMENT}, ModelMisconfigured),
    (400, {"error": AZURE_OPERATION}, ModelMisconfigured),
    (413, {"error": GROQ_SIZE}, ContextOverflow),
]


def answer(status: int, body: Any) -> Reply:
    return Reply(status=status, body=json.dumps(body).encode(), headers=QUICK)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "body", "error"), ANSWERS)
async def test_what_a_server_says_is_the_right_problem_and_in_the_log(
    status: int, body: Any, error: type[ChatError], stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    told = body.get("error", body)
    sentence = told if isinstance(told, str) else told["message"]
    async with FakeModel(answer(status, body)) as model, agent_on(model) as agent:
        with caplog.at_level(logging.WARNING), pytest.raises(error) as caught:
            await run(agent, stream=stream)
    assert sentence not in caught.value.detail
    if error is ModelMisconfigured:
        assert sentence in caplog.text


@pytest.mark.parametrize("body", [{"error": LLAMA_CPP_TOOLS}, VLLM_TOOLS, {"error": OPENAI_TOOLS}, OLLAMA_NATIVE])
async def test_the_log_says_that_it_is_the_tools(body: Any, caplog: pytest.LogCaptureFixture) -> None:
    status = 500 if body.get("error") is LLAMA_CPP_TOOLS else 400
    async with FakeModel(answer(status, body)) as model, agent_on(model) as agent:
        with caplog.at_level(logging.ERROR), pytest.raises(ModelMisconfigured):
            await run(agent)
    assert "check that the model and its server support tools" in caplog.text


@pytest.mark.parametrize(
    "body", [{"error": "model 'm' not found, try pulling it first"}, {"error": {"message": "No.", "code": "model_not_found"}}]
)
async def test_the_log_says_that_it_is_the_models_name(body: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with FakeModel(answer(404, body)) as model, agent_on(model) as agent:
        with caplog.at_level(logging.ERROR), pytest.raises(ModelMisconfigured):
            await run(agent)
    assert "check OPENAI_MODEL;" in caplog.text


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": LLAMA_CPP_CONTEXT}, ContextOverflow),
        (VLLM_OLD_CONTEXT, ContextOverflow),
        ({"error": VLLM_CONTEXT}, ContextOverflow),
        (VLLM_TOOLS, ModelMisconfigured),
        ({"error": {"message": "Slow down", "code": 429}}, ModelThrottled),
        ({"error": {"message": "Internal server error", "type": "InternalServerError", "code": 500}}, ModelUnavailable),
        ({"error": "out of memory"}, ModelUnavailable),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_in_place_of_an_answer_is_typed(body: Any, error: type[ChatError], stream: bool) -> None:
    data = json.dumps(body).encode()
    reply = (
        Reply(body=b"data: " + data + b"\n\ndata: [DONE]\n\n", headers={"content-type": "text/event-stream"})
        if stream
        else Reply(body=data)
    )
    async with FakeModel(reply) as model, agent_on(model) as agent:
        with pytest.raises(error):
            await run(agent, stream=stream)


async def test_what_is_no_sentence_for_a_log_is_left_out_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key, whole or in part, nor what the user has written."""
    words = (
        "Incorrect key hush-hush-4711, sk-abc*****wxyz, Bearer eyJhbGciOi.x.y at https://ann:pw@host/v1:\n"
        "[{'input': 'my diagnosis is gout, what now'}] and 'ouch'"
    )
    async with FakeModel(answer(400, {"error": {"message": words}})) as model:
        settings = Settings(openai_base_url=f"{model.url}/v1", openai_model="m", openai_api_key="hush-hush-4711")
        async with open_agent(settings, HARBOUR, (calculate,), AzureCredential()) as agent:
            for content in ("my diagnosis is gout, what now", "ouch"):
                with caplog.at_level(logging.ERROR), pytest.raises(ModelMisconfigured):
                    await run(agent, content)
    first, second = (record.getMessage() for record in caplog.records if "refused the request" in record.getMessage())
    assert "Incorrect key …" in first
    assert "[{'input': '…'}]" in first
    assert "'…'" in second
    for secret in ("4711", "sk-abc", "wxyz", "eyJ", "ann:pw"):
        assert secret not in caplog.text
    assert "diagnosis" not in first
    assert "ouch" not in second


async def test_a_gateways_page_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    reply = Reply(status=403, body=b"<html><h1>Forbidden</h1></html>", headers={"content-type": "text/html"})
    async with FakeModel(reply) as model, agent_on(model) as agent:
        with caplog.at_level(logging.ERROR), pytest.raises(ModelMisconfigured):
            await run(agent)
    assert "html" not in caplog.text


async def test_a_longer_sentence_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeModel(answer(400, {"error": {"message": "x " * 5000}})) as model, agent_on(model) as agent:
        with caplog.at_level(logging.ERROR), pytest.raises(ModelMisconfigured):
            await run(agent)
    assert len(caplog.text) < 1500
