"""How the operator lets the model answer, and what it tells of the tokens that took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.llm.options import model_options
from errors import ModelMisconfigured
from settings import Settings, SettingsError, load_settings
from tests.fakes.model import Call, FakeModel, Reply
from tests.fakes.responses_model import FakeResponses
from tests.support.agent import agent_on, run
from tests.support.api import QUESTION
from tests.support.collected import Collected
from tests.support.server import serve_api

CHOSEN: dict[str, Any] = {"reasoning_effort": "low", "model_temperature": 0.0, "model_max_output_tokens": 500}
NAMES = {"reasoning_effort", "temperature", "max_tokens", "max_completion_tokens", "max_output_tokens"}
CALL = Call("calculate", '{"expression": "2+2"}')


def told(usage: Any, *, call: bool = False) -> Reply:
    message: dict[str, Any] = {"role": "assistant", "content": None if call else "Yes."}
    if call:
        message["tool_calls"] = [
            {"id": "a", "type": "function", "function": {"name": "calculate", "arguments": CALL.arguments}}
        ]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
    return Reply(body=json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode())


def usage(cached: Any = None, reasoning: Any = None) -> dict[str, Any]:
    return {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_what_is_set_is_sent_with_every_call_and_nothing_else(stream: bool) -> None:
    async with FakeModel(Reply(calls=(CALL,)), Reply(text="4")) as model:
        async with agent_on(model, **CHOSEN) as agent:
            await run(agent, stream=stream)
        async with agent_on(model) as agent:
            await run(agent, stream=stream)
    asked = [{name: value for name, value in request.items() if name in NAMES} for request in model.requests]
    chosen = {"reasoning_effort": "low", "temperature": 0.0, "max_tokens": 500}
    assert asked == [chosen, chosen, {}]


async def test_the_responses_api_has_names_of_its_own() -> None:
    async with FakeResponses(Reply(text="4")) as model:
        async with agent_on(model, model_api="responses", **CHOSEN) as agent:
            await run(agent)
        async with agent_on(model, model_api="responses") as agent:
            await run(agent)
    chosen, plain = model.requests
    assert (chosen["temperature"], chosen["max_output_tokens"]) == (0.0, 500)
    assert chosen["reasoning"] == {"effort": "low", "summary": "auto"}
    assert plain["reasoning"] == {"summary": "auto"}
    assert not plain.keys() & NAMES


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ({"openai_api_key": "k"}, "max_completion_tokens"),
        ({"azure_openai_endpoint": "https://x.openai.azure.com"}, "max_completion_tokens"),
        ({"azure_openai_endpoint": "https://models.example.com"}, "max_completion_tokens"),
        ({"openai_base_url": "https://eu.api.openai.com/v1"}, "max_completion_tokens"),
        ({"openai_base_url": "https://X.services.ai.azure.com/openai/v1/"}, "max_completion_tokens"),
        ({"openai_base_url": "http://localhost:11434/v1"}, "max_tokens"),
        ({"openai_base_url": "https://notopenai.com/v1"}, "max_tokens"),
        ({"openai_base_url": "https://api.openai.com.example.com/v1"}, "max_tokens"),
    ],
)
def test_an_answers_limit_has_the_name_that_the_service_knows(service: dict[str, str], name: str) -> None:
    """Ollama and llama-cpp-python pass over the newer one, and models of OpenAI's that reason refuse the older one."""
    model = {"azure_openai_model" if "azure_openai_endpoint" in service else "openai_model": "m"}
    settings = Settings.model_validate({**service, **model, "model_max_output_tokens": 500})
    assert model_options(settings) == {name: 500}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REASONING_EFFORT", "extreme"),
        ("MODEL_TEMPERATURE", "2.5"),
        ("MODEL_TEMPERATURE", "-1"),
        ("MODEL_TEMPERATURE", "nan"),
        ("MODEL_MAX_OUTPUT_TOKENS", "0"),
    ],
)
def test_what_no_model_takes_is_refused_at_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()


@pytest.mark.parametrize(
    ("parameter", "setting"),
    [
        ("temperature", "MODEL_TEMPERATURE"),
        ("reasoning_effort", "REASONING_EFFORT"),
        ("reasoning.effort", "REASONING_EFFORT"),
        ("max_tokens", "MODEL_MAX_OUTPUT_TOKENS"),
        ("max_completion_tokens", "MODEL_MAX_OUTPUT_TOKENS"),
        ("max_output_tokens", "MODEL_MAX_OUTPUT_TOKENS"),
    ],
)
async def test_the_setting_that_a_model_refuses_is_named(
    parameter: str, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = {"message": "Unsupported value.", "type": "invalid_request_error", "param": parameter, "code": "unsupported_value"}
    async with FakeModel(Reply(status=400, error=error)) as model, agent_on(model, **CHOSEN) as agent:
        with pytest.raises(ModelMisconfigured):
            await run(agent)
    assert f"check {setting};" in caplog.text


async def test_details_of_all_calls_are_added_up(tmp_path: Path, collected: Collected) -> None:
    replies = [told(usage(5, 3), call=True), told(usage(8, None)), told(usage(None, None))]
    async with FakeModel(*replies) as model:
        settings = Settings(data_dir=tmp_path, openai_base_url=f"{model.url}/v1", openai_model="gpt-x")
        async with serve_api(settings) as api:
            path = f"/api/threads/{(await api.post('/api/threads', json={})).json()['id']}/messages"
            first, second = [(await api.post(path, json=QUESTION)).json() for _ in range(2)]
    details = {"cached_input_tokens": 13, "reasoning_tokens": 3}
    assert first["metadata"]["usage"] == {"input_tokens": 22, "output_tokens": 14, **details}
    assert second["metadata"]["usage"] == {"input_tokens": 11, "output_tokens": 7}
    prefix = "gen_ai.usage."
    turns = [
        {name.removeprefix(prefix): count for name, count in (span.attributes or {}).items() if name.startswith(prefix)}
        for span in collected.named("chat.turn")
    ]
    assert turns == [
        {"input_tokens": 22, "output_tokens": 14, "cache_read.input_tokens": 13, "reasoning.output_tokens": 3},
        {"input_tokens": 11, "output_tokens": 7},
    ]


async def test_the_responses_api_tells_them_too() -> None:
    for stream in (True, False):
        async with FakeResponses(Reply(text="4")) as model, agent_on(model, model_api="responses") as agent:
            _, result = await run(agent, stream=stream)
            assert result.usage == {"input_tokens": 11, "output_tokens": 7, "cached_input_tokens": 5, "reasoning_tokens": 3}


@pytest.mark.parametrize("cached", [-1, "5", True, None, 1.5])
async def test_a_detail_that_is_no_count_is_left_out(cached: Any) -> None:
    async with FakeModel(told(usage(cached, 0))) as model, agent_on(model) as agent:
        _, result = await run(agent)
        assert result.details == {"reasoning_tokens": 0}


@pytest.mark.parametrize("details", [None, [], "none", {"cached_tokens": None}])
async def test_details_of_another_shape_are_left_out(details: Any) -> None:
    reply = told({"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": details})
    async with FakeModel(reply) as model, agent_on(model) as agent:
        _, result = await run(agent)
        assert (result.usage, result.details) == ({"input_tokens": 11, "output_tokens": 7}, {})
